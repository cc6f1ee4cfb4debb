//! Uploaded modules: their structure, imports and entry points, as inspected before compilation, and their own
//! description.

use fabric_fuzz::{fuzz, text};

#[test]
fn modules() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let seeds = [
        wat(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (table 1 funcref) (global (mut i32) (i32.const 1))
            (func (export "_start") (block (br_table 0 0 (i32.const 0))) (loop)) (data (i32.const 0) "x"))"#),
        wat(
            r#"(component (import "fabric:task/sys@0.1.0" (instance (export "f" (func (param "a" (list u8)) (result string)))))
            (core module (func (export "g"))) (core instance (instantiate 0)))"#,
        ),
        wat("(component)"),
    ];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("modules", &seeds, |input| {
        fabric_host::fuzzing::inspect(input);
        fabric_host::fuzzing::description(&text(input));
    });
}
