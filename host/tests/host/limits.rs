//! Tests of every limit, each with a guest that exceeds it.

use crate::support::*;
use fabric_types::{Code, limits::Limits, units::ByteSize};

async fn code(body: &str, limits: Limits) -> Code {
    let sandbox = sandbox();
    let report = sandbox.run_wat(&command(body), limits).await;
    let fault = report.result.expect_err("the limit must end it");
    assert_eq!(sandbox.host.stats().live, 0);
    fault.code
}

const LOOP: &str = r#"(func (export "_start") (loop $l (br $l)))"#;

#[tokio::test]
async fn fuel_ends_an_infinite_loop() {
    let sandbox = sandbox();
    let report = sandbox.run_wat(&command(LOOP), Limits { fuel: 1_000_000, ..Limits::default() }).await;
    let fault = report.result.unwrap_err();
    assert_eq!(fault.code, Code::OutOfFuel);
    assert!(report.cost.fuel >= 999_000 && report.cost.fuel <= 1_000_000, "{}", report.cost.fuel);
    assert_eq!(fault.fuel, report.cost.fuel);
}

#[tokio::test]
async fn the_deadline_ends_a_loop() {
    assert_eq!(code(LOOP, Limits { deadline_ms: 30, ..Limits::default() }).await, Code::Deadline);
}

const SLEEP: &str = r#"(func (export "_start")
    ;; one subscription: relative clock, an hour
    (i32.store8 (i32.const 104) (i32.const 0))
    (i32.store (i32.const 112) (i32.const 1))
    (i64.store (i32.const 120) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 96) (i32.const 200) (i32.const 1) (i32.const 300))))"#;

#[tokio::test]
async fn the_deadline_ends_a_sleep() {
    assert_eq!(code(SLEEP, Limits { deadline_ms: 30, ..Limits::default() }).await, Code::Deadline);
}

#[tokio::test]
async fn memory_growth_stops_at_the_limit() {
    let body = r#"(func (export "_start") (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))"#;
    let limits = Limits { memory_bytes: ByteSize::mib(8), ..Limits::default() };
    assert_eq!(code(body, limits).await, Code::MemoryLimit);
    // A single large step fails in the same way.
    let body = r#"(func (export "_start") (drop (memory.grow (i32.const 40000))))"#;
    assert_eq!(code(body, Limits::default()).await, Code::MemoryLimit);
}

#[tokio::test]
async fn memory_is_summed_over_memories() {
    let sandbox = sandbox();
    let text = r#"(module (memory 100) (memory 100) (func (export "_start")))"#;
    let tight = Limits { memory_bytes: ByteSize::mib(8), ..Limits::default() };
    assert_eq!(sandbox.run_wat(text, tight).await.result.unwrap_err().code, Code::MemoryLimit);
    let enough = Limits { memory_bytes: ByteSize::mib(16), ..Limits::default() };
    sandbox.run_wat(text, enough).await.result.unwrap();
}

#[tokio::test]
async fn a_large_fill_is_bounded_by_the_memory_cap() {
    let body = r#"(func (export "_start")
        (drop (memory.grow (i32.const 32766)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x7ff00000)))"#;
    assert_eq!(code(body, Limits::default()).await, Code::MemoryLimit);
    let body = r#"(func (export "_start") (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x7ff00000)))"#;
    assert_eq!(code(body, Limits::default()).await, Code::TrapMemory);
}

#[tokio::test]
async fn table_growth_stops_at_the_limit() {
    let body = r#"(func (export "_start")
        (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))))"#;
    assert_eq!(code(body, Limits::default()).await, Code::TableLimit);
}

#[tokio::test]
async fn recursion_ends_at_the_stack() {
    let body = r#"(func $f (export "_start") (call $f) (call $f))"#;
    assert_eq!(code(body, Limits::default()).await, Code::StackOverflow);
}

fn flood(fd: u32) -> String {
    format!(
        r#"(func (export "_start") (loop $l (call $write (i32.const {fd}) (i32.const 1024) (i32.const 60000)) (br $l)))"#
    )
}

#[tokio::test]
async fn output_and_logs_stop_at_their_limits() {
    let limits = Limits { output_bytes: ByteSize::mib(1), ..Limits::default() };
    assert_eq!(code(&flood(1), limits).await, Code::OutputLimit);
    assert_eq!(code(&flood(2), Limits::default()).await, Code::LogLimit);
}

#[tokio::test]
async fn emitted_records_stop_at_their_limit() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&wat(&command(&flood(1)))).await;
    let mut call = fabric_host::TaskCall::new(fabric_host::TaskStage::Map, fabric_host::source::EmptySource);
    call.buckets = 3;
    call.limits.emit_bytes = ByteSize::mib(1);
    assert_eq!(sandbox.host.run_task(&loaded, call).await.result.unwrap_err().code, Code::EmitLimit);
}

#[tokio::test]
async fn host_calls_stop_at_their_limit() {
    let body = r#"(func (export "_start") (loop $l (drop (call $sched_yield)) (br $l)))"#;
    assert_eq!(code(body, Limits { host_calls: 1000, ..Limits::default() }).await, Code::HostCallLimit);
}

/// A component that opens standard output repeatedly and never closes it.
pub const HOARD: &str = r#"(component
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $err))
    (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
    (alias export $streams "output-stream" (type $out))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $out (type $o)) (export "output-stream" (type (eq $o)))
        (export "get-stdout" (func (result (own 1))))))
    (core func $get (canon lower (func $stdout "get-stdout")))
    (core module $m
        (import "h" "get" (func $get (result i32)))
        (func (export "run") (result i32) (loop $l (drop (call $get)) (br $l)) (i32.const 0)))
    (core instance $i (instantiate $m (with "h" (instance (export "get" (func $get))))))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (component $wrap (import "run" (func $run (result (result)))) (export "run" (func $run)))
    (instance $r (instantiate $wrap (with "run" (func $run))))
    (export "wasi:cli/run@0.2.0" (instance $r)))"#;

#[tokio::test]
async fn handles_stop_at_their_limit() {
    let sandbox = sandbox();
    let report = sandbox.run_wat(HOARD, Limits::default()).await;
    assert_eq!(report.result.unwrap_err().code, Code::HandleLimit);
}

#[tokio::test]
async fn others_run_while_a_guest_loops_on_the_same_thread() {
    let sandbox = sandbox();
    let hostile = sandbox.load(&wat(&command(LOOP))).await;
    let friendly = sandbox.load(&wat(&command(r#"(func (export "_start"))"#))).await;
    let cancel = tokio_util::sync::CancellationToken::new();
    let mut call = fabric_host::TaskCall::new(fabric_host::TaskStage::Map, fabric_host::source::EmptySource);
    call.cancel = cancel.clone();
    // The loop ends only because `friend`, on the same thread, makes progress and cancels it.
    let friend = async {
        for _ in 0..5 {
            sandbox.map(&friendly, "", Limits::default()).await.result.unwrap();
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (report, ()) = tokio::join!(sandbox.host.run_task(&hostile, call), friend);
    assert_eq!(report.result.unwrap_err().code, Code::Cancelled);
}

#[tokio::test]
async fn dropping_the_future_ends_the_guest() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&wat(&command(LOOP))).await;
    {
        let call = sandbox.map(&loaded, "", Limits::default());
        tokio::pin!(call);
        for _ in 0..3 {
            assert!(futures::poll!(&mut call).is_pending());
        }
        assert_eq!(sandbox.host.stats().live, 1);
    }
    assert_eq!(sandbox.host.stats().live, 0);
}
