//! A running process of Fabric: its settings, its roles and their wiring, its log and spans, and the fleet on one machine
//! that `fabric cluster` supervises.
//!
//! The `fabric` binary parses its command line into [`ServeArgs`] and calls [`run`]. It also provides the worker
//! processes that a server starts: [`compile_worker`] and [`gpu_worker`].

mod background;
pub mod cluster;
mod error;
mod log_file;
mod serve;
mod settings;
mod telemetry;

pub use error::Error;
pub use serve::run;
pub use settings::{ServeArgs, SettingRow};

/// The command that runs this program as a compile worker.
pub const COMPILE_WORKER: &str = "compile-worker";

/// The command that runs this program as a GPU worker.
pub const GPU_WORKER: &str = "gpu-worker";

/// Compiles one module. The server starts it as a separate process. Returns the exit status.
#[must_use]
pub fn compile_worker() -> u8 {
    fabric_host::compile_worker_main()
}

/// Owns a GPU. The server starts it as a separate process. Returns the exit status.
///
/// Call it before anything opens a file or starts a thread: the worker closes descriptors that it did not receive.
#[must_use]
pub fn gpu_worker() -> u8 {
    fabric_host::gpu_worker_main()
}
