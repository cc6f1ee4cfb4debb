//! Shaders: a valid one for the other modules, and those that every node must reject.

use fabric::gpu::{self, Pipeline, Result};
use serde_json::{Value, json};

/// Adds one to each number of binding 0.
pub const INCREMENT: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&data) { data[id.x] += 1u; }
}";

/// Common start of the rejected shaders.
const MAIN: &str =
    "@group(0) @binding(0) var<storage, read_write> data: array<u32>;\n@compute @workgroup_size(64) fn main";

/// Compiles a source with the entry point `main`.
pub fn compile(wgsl: &str) -> Result<Pipeline> {
    Pipeline::compile(wgsl, "main", &[])
}

/// Returns `compiled` if the source is accepted.
fn taken(wgsl: &str) -> Result<Value> {
    compile(wgsl).map(|_| json!("compiled"))
}

pub fn big() -> Result<Value> {
    let allowed = usize::try_from(gpu::info()?.limits.shader_bytes).unwrap_or(usize::MAX);
    taken(&format!("//{}\n{INCREMENT}", "x".repeat(allowed.min(1 << 24))))
}

pub fn workgroup_memory() -> Result<Value> {
    taken(&format!("var<workgroup> m: array<u32, 262144>;\n{MAIN}() {{ m[0] = 1u; data[0] = m[1]; }}"))
}

pub fn deep() -> Result<Value> {
    let (open, close) = ("(".repeat(20_000), ")".repeat(20_000));
    taken(&format!("{MAIN}() {{ data[0] = {open}1u{close}; }}"))
}

pub fn doubling() -> Result<Value> {
    let functions: String =
        (1..=60).map(|n| format!("fn f{n}(x: u32) -> u32 {{ return f{0}(x) + f{0}(x + 1u); }}\n", n - 1)).collect();
    taken(&format!("fn f0(x: u32) -> u32 {{ return x * 3u; }}\n{functions}{MAIN}() {{ data[0] = f60(1u); }}"))
}
