//! The sandbox: runs WebAssembly modules under limits, in a new instance for each call.
//!
//! A call takes a module's bytes and an input stream of parts, and returns a result with a report of the run. The crate
//! does not depend on HTTP routes, jobs, journals or object stores; callers pass bytes in and receive bytes.
//!
//! Start with [`Host::start`]. [`Host::inspect_and_compile`] processes an upload, [`Host::load`] prepares a deployment,
//! and [`Host::run_task`] and [`Host::handle_http`] run one call. Guests run inside the caller's future, and dropping
//! that future terminates the guest. The exception is an http guest that is still running after its response has begun:
//! it moves to its own task, which ends with the response body.

mod artefact;
mod bindings;
mod call;
mod clock;
pub mod compile;
mod engine;
mod entry;
mod error;
mod failure_output;
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

pub use call::SlotWait;
pub use entry::{
    http::{HttpCall, HttpReport},
    response_body::ResponseBody,
    task::{Progress, TaskCall, TaskOutput, TaskReport, TaskStage},
};
pub use error::Error;
pub use fabric_gpu::worker_main as gpu_worker_main;
pub use gpu::{Device as GpuDevice, Search as GpuSearch};
pub use host::Host;
pub use inspect::Inspected;
pub use load::Loaded;
pub use logs::{GuestLogLine, LogLevel, LogOrigin, LogSink, MemoryLog};
pub use network::{AddressPolicy, HostPattern};
pub use options::{CompileOptions, Options, WorkerCommand};
pub use source::{InputPart, InputPartKind, PartSource};
pub use stats::{HostStats, Observer};
pub use volumes::{VolumeCharge, VolumeMeter, VolumeRefusal};
