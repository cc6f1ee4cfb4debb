//! Performs one forbidden use of `fabric:gpu`, or a small valid job, and returns the result: `{"ok": …}`, or an error
//! such as `{"error": "limit", "name": "total-bytes", "value": 9, "limit": 8}`.
//!
//! The request selects the action: `{"do": "endless"}`. An additional field, such as `"turn": 2`, prevents a cached
//! answer to a repeated request. Used only by tests, with a manifest that requests the GPU.

mod answer;
mod honest;
mod memory;
mod ranges;
mod shaders;
mod time;

use fabric::Deserialize;
use fabric::gpu::Result;
use serde_json::Value;

/// The action to perform.
#[derive(Deserialize)]
#[serde(crate = "fabric::serde", tag = "do", rename_all = "kebab-case")]
enum Action {
    /// Queries the adapter.
    Info,
    /// The sum of the squares of 0 to n - 1, wrapped to 32 bits.
    Sum { n: Option<u32> },
    /// Runs every built-in pass over n numbers. Returns the number of wrong results of each.
    Passes { n: Option<u32> },
    /// Runs a dispatch that never ends.
    Endless,
    /// Reads and writes far beyond a buffer. Returns the number of words read that are neither 0 nor its own.
    OutOfBounds,
    /// Allocates all its memory. Returns the number of bytes that were not zero, and leaves the memory filled with
    /// 0xA5.
    Canary,
    /// Creates one buffer of `bytes` bytes, by default 4 more than allowed.
    BigBuffer { bytes: Option<u64> },
    /// Creates n small buffers.
    ManyBuffers { n: Option<u32> },
    /// Compiles a source longer than allowed.
    BigShader,
    /// Uses 1 MiB of workgroup memory.
    WorkgroupMemory,
    /// Compiles a number in 20,000 brackets.
    Deep,
    /// Compiles 60 functions, each with two calls to the one before it.
    Doubling,
    /// Runs n minimal submits. Returns the number that succeeded.
    TinySubmits { n: Option<u32> },
    /// Uses a buffer and a pipeline that were lost with the device. Returns the result of each use, and of a use of new
    /// ones.
    Stale,
    /// Dispatches more workgroups than a dimension allows.
    BigDispatch,
    /// Uses ranges beyond a buffer, and a misaligned one. Returns the result of each.
    BadRange,
    /// Uses bindings that are missing, too small, or bound twice. Returns the result of each.
    WrongBinding,
    /// Keeps the device busy for n submits. Returns n.
    Spin { n: Option<u32> },
}

/// Performs an action.
#[fabric::handler]
fn mischief(action: Action) -> Value {
    answer::of(attempt(&action))
}

fn attempt(action: &Action) -> Result<Value> {
    match action {
        Action::Info => honest::info(),
        Action::Sum { n } => honest::sum(n.unwrap_or(1000)).map(Value::from),
        Action::Passes { n } => honest::passes(n.unwrap_or(300_000)),
        Action::Endless => time::endless(),
        Action::OutOfBounds => memory::out_of_bounds(),
        Action::Canary => memory::canary(),
        Action::BigBuffer { bytes } => memory::big_buffer(*bytes),
        Action::ManyBuffers { n } => memory::many_buffers(n.unwrap_or(10_000)),
        Action::BigShader => shaders::big(),
        Action::WorkgroupMemory => shaders::workgroup_memory(),
        Action::Deep => shaders::deep(),
        Action::Doubling => shaders::doubling(),
        Action::TinySubmits { n } => time::tiny_submits(n.unwrap_or(1000)),
        Action::Stale => time::stale(),
        Action::BigDispatch => ranges::big_dispatch(),
        Action::BadRange => ranges::bad_range(),
        Action::WrongBinding => ranges::wrong_binding(),
        Action::Spin { n } => time::spin(n.unwrap_or(1000)),
    }
}
