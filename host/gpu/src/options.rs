//! What a node decides about its GPU.

use crate::Limits;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Variables that a Vulkan loader and driver need to be found. The worker gets no other of the node's environment.
pub const DRIVER_VARIABLES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"];

/// A program that calls [`worker_main`](crate::worker_main) before anything else.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program, usually this one.
    pub program: PathBuf,
    /// What makes it a worker.
    pub args: Vec<OsString>,
}

/// How a node runs its worker, and what it allows.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to start.
    pub worker: WorkerCommand,
    /// A part of the adapter's name, in any case. Default none: the best one, hardware before software.
    pub adapter: Option<String>,
    /// The worker's whole environment. Default: [`DRIVER_VARIABLES`], as far as the node has them.
    pub environment: Vec<(String, OsString)>,
    /// What all sessions together may allocate, in bytes. Default 512 MiB; set it to what the card can spare.
    pub memory_bytes: u64,
    /// Sessions at once. Default 64.
    pub sessions: usize,
    /// Calls that wait for the device, at most one for each session. Default 64; more wait outside of it.
    pub queue: usize,
    /// What a guest may ask. Default: see [`Limits`].
    pub limits: Limits,
    /// How long a worker may take to open its device. Default 20 s.
    pub start_deadline: Duration,
    /// How long the driver may take to compile one pipeline. Default 10 s.
    pub compile_deadline: Duration,
    /// How long a write, a read, or freeing a buffer may take. Default 10 s.
    pub transfer_deadline: Duration,
    /// Memory for checking one shader, in bytes. Default 256 MiB.
    pub check_memory_bytes: u64,
    /// CPU time for checking one shader, in seconds. Default 5; four times that by the clock.
    pub check_cpu_seconds: u64,
    /// Shaders checked at once. Default 2.
    pub checks: usize,
    /// The user that workers become where the node runs as root: a checker at once, the device's owner when the device is
    /// open. Default 65534, nobody; `None`: they stay root.
    pub user: Option<u32>,
}

impl Options {
    /// The defaults, with this worker.
    #[must_use]
    pub fn new(worker: WorkerCommand) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| (name.to_owned(), value));
        Self {
            worker,
            adapter: None,
            environment: DRIVER_VARIABLES.iter().filter_map(|name| variable(name)).collect(),
            memory_bytes: 512 << 20,
            sessions: 64,
            queue: 64,
            limits: Limits::default(),
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
