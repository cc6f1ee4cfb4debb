//! Tests of guests that fail, and of uploads that are rejected.

use crate::support::*;
use fabric_types::{Code, limits::Limits, units::ByteSize};

#[tokio::test]
async fn each_trap_has_its_code() {
    let sandbox = sandbox();
    for (body, expected) in [
        ("unreachable", Code::TrapUnreachable),
        ("(drop (i32.load (i32.const -1)))", Code::TrapMemory),
        ("(call_indirect $t (type $unit) (i32.const 0))", Code::TrapTable),
        ("(call_indirect $t (type $unit) (i32.const 9))", Code::TrapTable),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", Code::TrapArithmetic),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Code::TrapArithmetic),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", Code::TrapArithmetic),
        ("(call $proc_exit (i32.const 3))", Code::GuestExit),
    ] {
        let report = sandbox.run_wat(&command(&format!(r#"(func (export "_start") {body})"#)), Limits::default()).await;
        let fault = report.result.expect_err(body);
        assert_eq!(fault.code, expected, "{body}: {fault:?}");
    }
}

#[tokio::test]
async fn leaving_with_status_0_is_success() {
    let sandbox = sandbox();
    let body = r#"(func (export "_start") (call $proc_exit (i32.const 0)))"#;
    sandbox.run_wat(&command(body), Limits::default()).await.result.unwrap();
}

#[tokio::test]
async fn a_trap_carries_a_backtrace_with_names_and_its_fuel() {
    let sandbox = sandbox();
    let body = r#"(func $inner unreachable) (func $outer (export "_start") (call $inner))"#;
    let report = sandbox.run_wat(&command(body), Limits::default()).await;
    let fault = report.result.unwrap_err();
    let names: Vec<_> = fault.backtrace.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(names, ["inner", "outer"]);
    assert_eq!(fault.backtrace[0].module.as_deref(), Some("guest"));
    assert!(fault.fuel > 0);
}

#[tokio::test]
async fn a_guest_that_names_bytes_that_are_no_text_breaks_the_contract() {
    let text = r#"(component
        (import "fabric:task/log@0.1.0" (instance $log
            (type $l (enum "trace" "debug" "info" "warn" "error"))
            (export "level" (type $level (eq $l)))
            (export "log" (func (param "level" $level) (param "message" string)))))
        (core module $mem (memory (export "m") 1) (data (i32.const 0) "\ff\fe"))
        (core instance $mem (instantiate $mem))
        (core func $log (canon lower (func $log "log") (memory (core memory $mem "m"))))
        (core module $m
            (import "h" "log" (func $log (param i32 i32 i32)))
            (func (export "run") (result i32) (call $log (i32.const 2) (i32.const 0) (i32.const 2)) (i32.const 0)))
        (core instance $i (instantiate $m (with "h" (instance (export "log" (func $log))))))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (component $wrap (import "run" (func $run (result (result)))) (export "run" (func $run)))
        (instance $r (instantiate $wrap (with "run" (func $run))))
        (export "wasi:cli/run@0.2.0" (instance $r)))"#;
    let sandbox = sandbox();
    let fault = sandbox.run_wat(text, Limits::default()).await.result.unwrap_err();
    assert_eq!(fault.code, Code::GuestContract, "{fault:?}");
    assert!(fault.message.contains("utf-8"), "{fault:?}");
}

/// Returns a command that names places of these lengths, and then loops.
fn at_places(lengths: &[u32]) -> String {
    let calls: String = lengths.iter().map(|length| format!("(call $at (i32.const 0) (i32.const {length}))")).collect();
    format!(
        r#"(component
        (import "fabric:task/progress@0.1.1" (instance $progress (export "at" (func (param "place" string)))))
        (core module $mem (memory (export "m") 1) (data (i32.const 0) "{}"))
        (core instance $mem (instantiate $mem))
        (core func $at (canon lower (func $progress "at") (memory (core memory $mem "m"))))
        (core module $m
            (import "h" "at" (func $at (param i32 i32)))
            (func (export "run") (result i32) {calls} (loop $again (br $again)) (i32.const 0)))
        (core instance $i (instantiate $m (with "h" (instance (export "at" (func $at))))))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (component $wrap (import "run" (func $run (result (result)))) (export "run" (func $run)))
        (instance $r (instantiate $wrap (with "run" (func $run))))
        (export "wasi:cli/run@0.2.0" (instance $r)))"#,
        "row 7; ü".to_owned() + &"é".repeat(500)
    )
}

#[tokio::test]
async fn an_error_that_ends_a_call_contains_the_last_place_that_the_guest_named() {
    let sandbox = sandbox();
    let tight = || Limits { fuel: 1_000_000, ..Limits::default() };
    let fault = sandbox.run_wat(&at_places(&[3, 5]), tight()).await.result.unwrap_err();
    assert_eq!(fault.code, Code::OutOfFuel);
    assert!(fault.message.ends_with("; the last place: row 7"), "{}", fault.message);
    // A deadline too, and a long place is cut between two characters.
    let limits = Limits { deadline_ms: 30, fuel: 1 << 50, ..Limits::default() };
    let fault = sandbox.run_wat(&at_places(&[1009]), limits).await.result.unwrap_err();
    assert_eq!(fault.code, Code::Deadline);
    let place = fault.message.split("; the last place: ").nth(1).unwrap();
    assert!(place.starts_with("row 7; ü") && (254..=256).contains(&place.len()), "{place}");
    // Without a place nothing is added.
    let fault = sandbox.run_wat(&at_places(&[]), tight()).await.result.unwrap_err();
    assert!(!fault.message.contains("place"), "{}", fault.message);
}

#[tokio::test]
async fn what_is_not_a_module_is_refused_with_a_reason() {
    let sandbox = sandbox();
    let whole = wat(&command(r#"(func (export "_start"))"#));
    for (bytes, code) in [
        (bytes::Bytes::new(), Code::NotWasm),
        (b"\x7fELF....".as_slice().into(), Code::NotWasm),
        (b"(module)".as_slice().into(), Code::NotWasm),
        (whole.slice(..4), Code::InvalidModule),
        (whole.slice(..whole.len() - 3), Code::InvalidModule),
        (wat("(module)"), Code::NoEntry),
        (wat("(component)"), Code::NoEntry),
        (wat(r#"(module (import "env" "x" (func)) (func (export "_start")))"#), Code::UnknownImport),
        (
            wat(r#"(module (import "wasi_snapshot_preview1" "no_such" (func)) (func (export "_start")))"#),
            Code::UnknownImport,
        ),
        (wat(r#"(component (import "fabric:task/input@0.9.0" (instance)))"#), Code::UnknownImport),
    ] {
        let fault = sandbox.host.inspect_and_compile(&acme(), bytes.clone()).await.expect_err("refused");
        assert_eq!(fault.code, code, "{fault:?}");
    }
    assert_eq!(sandbox.host.stats().instances, 0);
}

#[tokio::test]
async fn truncation_anywhere_is_refused_and_never_panics() {
    let sandbox = sandbox();
    let whole = wat(&command(r#"(func (export "_start") (call $write (i32.const 1) (i32.const 0) (i32.const 1)))"#));
    for len in 0..whole.len() {
        if let Err(fault) = sandbox.host.inspect_and_compile(&acme(), whole.slice(..len)).await {
            assert!(matches!(fault.code, Code::NotWasm | Code::InvalidModule | Code::NoEntry), "{len}: {fault:?}");
        } else {
            // Only the custom name section at the end may be missing.
            assert!(len > whole.len() / 2, "{len} of {} bytes were taken", whole.len());
        }
    }
}

#[tokio::test]
async fn a_module_whose_compilation_explodes_is_stopped() {
    // One function with very many blocks and live values: cheap to upload, expensive for the register allocator.
    let mut body = String::new();
    for i in 0..60_000 {
        use std::fmt::Write as _;
        write!(
            body,
            "(local.set {} (i32.add (local.get {}) (local.get {})))(br_if 0 (local.get {}))",
            i % 500,
            (i * 7) % 500,
            (i * 13) % 500,
            (i * 3) % 500
        )
        .unwrap();
    }
    let locals = "i32 ".repeat(500);
    let module = wat(&format!(r#"(module (func (export "_start") (local {locals}) (block {body})))"#));
    for (change, code) in [
        (
            (|o: &mut fabric_host::Options| o.compile.cpu_seconds = 1) as fn(&mut fabric_host::Options),
            Code::CompileLimit,
        ),
        (|o| o.compile.memory_bytes = ByteSize::mib(24), Code::CompileLimit),
        // Wall-clock time depends on the load of the machine, so another node may succeed.
        (|o| o.compile.wall_seconds = 0, Code::Unavailable),
    ] {
        let sandbox = sandbox_with(change);
        let fault = sandbox.host.inspect_and_compile(&acme(), module.clone()).await.expect_err("stopped");
        assert_eq!(fault.code, code, "{fault:?}");
        // The stopped compilation is not counted as a compiled module.
        assert_eq!(sandbox.host.stats().compiled, 0);
    }
}

#[tokio::test]
async fn a_module_that_is_too_large_is_refused_unread() {
    let sandbox = sandbox_with(|o| o.compile.max_module_bytes = ByteSize(100));
    let module = wat(&command(r#"(func (export "_start"))"#));
    assert_eq!(sandbox.host.inspect_and_compile(&acme(), module).await.unwrap_err().code, Code::TooLarge);
}

#[tokio::test]
async fn a_module_that_starts_with_more_memory_than_the_host_has_is_refused() {
    let sandbox = sandbox_with(|o| o.max_memory_bytes = ByteSize::mib(1));
    let module = wat(r#"(module (memory 17) (func (export "_start")))"#);
    assert_eq!(sandbox.host.inspect_and_compile(&acme(), module).await.unwrap_err().code, Code::MemoryLimit);
}
