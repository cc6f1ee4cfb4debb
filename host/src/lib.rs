//! The sandbox: runs WebAssembly modules under limits, in a fresh instance for every call.
//!
//! It takes a module's bytes and an input as a stream of parts, and gives back a result with facts about the run.
//! It knows nothing of HTTP routes, jobs, journals or object stores: callers bring bytes and take bytes.
//!
//! Start with [`Host::start`]; [`Host::inspect_and_compile`] takes an upload, [`Host::load`] readies a deployment, and
//! [`Host::run_task`] or [`Host::handle_http`] run one call. Guests run inside the caller's future, and dropping it ends
//! the guest. Only the guest of an http response that has begun and goes on runs in a task of its own, which ends with
//! the response's body.

mod artefact;
mod bindings;
mod clock;
pub mod compile;
mod engine;
mod entry;
mod error;
pub mod fair_queue;
mod fault;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
mod gpu;
mod handles;
mod host;
mod imports;
mod inspect;
pub mod keyed;
mod last_words;
mod limiter;
mod listing;
mod load;
mod logs;
mod network;
mod open_files;
mod options;
mod output;
mod pool;
mod preopen;
mod random;
mod scope;
mod shape;
mod slots;
pub mod source;
mod state;
mod stats;
mod stdio;
mod symbols;
mod task_imports;
#[cfg(debug_assertions)]
mod test_hooks;
mod ticker;
mod volumes;

pub use compile::worker::main as compile_worker_main;
pub use entry::http::{Body, HttpCall, HttpReport};
pub use entry::task::{Progress, SlotWait, Stage, TaskCall, TaskOutput, TaskReport};
pub use error::Error;
pub use fabric_gpu::worker_main as gpu_worker_main;
pub use gpu::{Device as GpuDevice, Search as GpuSearch};
pub use host::Host;
pub use inspect::Inspected;
pub use load::Loaded;
pub use logs::{LogLevel, LogLine, LogOrigin, LogSink, MemoryLog};
pub use network::{AddressPolicy, HostPattern};
pub use options::{CompileOptions, Options, WorkerCommand};
pub use source::{Part, PartKind, PartSource};
pub use stats::{HostStats, Observer};
pub use volumes::{VolumeCharge, VolumeMeter, VolumeRefusal};
