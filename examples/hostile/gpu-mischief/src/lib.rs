//! Tries one thing that `fabric:gpu` forbids, or a small honest job, and tells how it ended: `{"ok": …}`, or
//! `{"error": "limit", "name": "total-bytes", "value": 9, "limit": 8}` and its like.
//!
//! The request says which: `{"do": "endless"}`. A field that no action knows, such as `"turn": 2`, keeps a repeated request
//! from being answered out of the cache. Only the tests use it, deployed with a manifest that asks for the GPU.

mod answer;
mod honest;
mod memory;
mod ranges;
mod shaders;
mod time;

use fabric::Deserialize;
use fabric::gpu::Result;
use serde_json::Value;

/// What to try.
#[derive(Deserialize)]
#[serde(crate = "fabric::serde", tag = "do", rename_all = "kebab-case")]
enum Action {
    /// Asks what there is.
    Info,
    /// The sum of the squares of 0 to n - 1, wrapped to 32 bits.
    Sum { n: Option<u32> },
    /// Runs every ready pass over n numbers; answers how many results of each are wrong.
    Passes { n: Option<u32> },
    /// A dispatch that never ends.
    Endless,
    /// Reads and writes far beyond a buffer; answers how many words it saw that are neither 0 nor its own.
    OutOfBounds,
    /// Takes all the memory it may have; answers how many bytes of it were not zero, and leaves it full of 0xA5.
    Canary,
    /// One buffer of so many bytes, or of 4 more than allowed.
    BigBuffer { bytes: Option<u64> },
    /// So many small buffers at once.
    ManyBuffers { n: Option<u32> },
    /// A source longer than allowed.
    BigShader,
    /// 1 MiB of workgroup memory.
    WorkgroupMemory,
    /// 20,000 brackets around a number.
    Deep,
    /// 60 functions, each of which calls the one before it twice.
    Doubling,
    /// So many submits of next to nothing; answers how many worked.
    TinySubmits { n: Option<u32> },
    /// Uses a buffer and a pipeline that went away with the device; answers what each use gave, and whether new ones work.
    Stale,
    /// More workgroups than a dimension may have.
    BigDispatch,
    /// Ranges beyond a buffer, and one that starts where none may; answers what each gave.
    BadRange,
    /// Bindings that are missing, too small, or bound twice; answers what each gave.
    WrongBinding,
    /// Keeps the device busy for so many submits; answers how many worked.
    Spin { n: Option<u32> },
}

/// Tries it.
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
