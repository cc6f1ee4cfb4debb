//! Options of a node's GPU.

use crate::AdapterLimits;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Environment variables that locate the Vulkan loader and driver. The worker inherits no other variables from the
/// node.
pub const DRIVER_VARIABLES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"];

/// The command line of the worker: a program that calls [`worker_main`](crate::worker_main) first.
#[derive(Clone, Debug)]
pub struct GpuWorkerCommand {
    /// The program, usually the current executable.
    pub program: PathBuf,
    /// Arguments that select the worker.
    pub args: Vec<OsString>,
}

/// Options of the worker and limits of its sessions.
#[derive(Clone, Debug)]
pub struct Options {
    /// Command line of the worker.
    pub worker: GpuWorkerCommand,
    /// A substring of the adapter's name, case-insensitive. Default none: the best adapter, with hardware before
    /// software.
    pub adapter: Option<String>,
    /// The worker's complete environment. Default: the [`DRIVER_VARIABLES`] that are set in the node's environment.
    pub environment: Vec<(String, OsString)>,
    /// Memory that all sessions together may allocate, in bytes. Default 512 MiB; set it to the memory available on the
    /// card.
    pub memory_bytes: u64,
    /// Open sessions. Default 64.
    pub sessions: usize,
    /// Queue length of calls for the device, with at most one call per session. Default 64. Further calls wait to enter
    /// the queue.
    pub queue: usize,
    /// Limits of a guest. Default: see [`AdapterLimits`].
    pub limits: AdapterLimits,
    /// Deadline for a worker to open its device. Default 20 s.
    pub start_deadline: Duration,
    /// Deadline for the driver to compile one pipeline. Default 10 s.
    pub compile_deadline: Duration,
    /// Deadline for a write, for a read, and for freeing a buffer. Default 10 s.
    pub transfer_deadline: Duration,
    /// Memory limit for checking one shader, in bytes. Default 256 MiB.
    pub check_memory_bytes: u64,
    /// CPU time limit for checking one shader, in seconds. Default 5. The wall-clock limit is four times as long.
    pub check_cpu_seconds: u64,
    /// Shaders checked concurrently. Default 2.
    pub checks: usize,
    /// User id that workers switch to if the node runs as root: a checker at its start, the device worker after opening
    /// the device. Default 65534 (nobody). `None`: workers stay root.
    pub user: Option<u32>,
}

impl Options {
    /// Creates options with this worker and the defaults.
    #[must_use]
    pub fn new(worker: GpuWorkerCommand) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| (name.to_owned(), value));
        Self {
            worker,
            adapter: None,
            environment: DRIVER_VARIABLES.iter().filter_map(|name| variable(name)).collect(),
            memory_bytes: 512 << 20,
            sessions: 64,
            queue: 64,
            limits: AdapterLimits::default(),
            start_deadline: Duration::from_secs(20),
            compile_deadline: Duration::from_secs(10),
            transfer_deadline: Duration::from_secs(10),
            check_memory_bytes: 256 << 20,
            check_cpu_seconds: 5,
            checks: 2,
            user: Some(fabric_confine::User::NOBODY),
        }
    }
}
