//! Options of the sandbox. The defaults deny and bound everything.

use crate::{gpu::Device, stats::Observer, volumes::VolumeMeter};
use fabric_types::{memory::MemoryAccount, units::ByteSize};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Options of the sandbox.
#[derive(Clone)]
pub struct Options {
    /// Folder for compiled modules and their key. Created if it does not exist.
    pub data_dir: PathBuf,
    /// Folder of tenant volumes, `{volumes}/{tenant}/{name}`. Default `data_dir/volumes`.
    pub volumes: PathBuf,
    /// Meter for guests' writes to volumes. Default none: writes are not limited.
    pub volume_meter: Option<Arc<dyn VolumeMeter>>,
    /// Maximum size of compiled modules on disk, in bytes. The least recently used are evicted. Default 8 GiB.
    pub artefact_bytes: u64,
    /// Maximum number of live instances; further calls wait. Default 64 per core, at least 16 and at most 512.
    pub max_instances: u32,
    /// Time that a call waits for an instance before it fails with `unavailable`. Default 30 s. Tasks of jobs wait
    /// without limit.
    pub slot_wait: Duration,
    /// Maximum size of a linear memory, and the ceiling of every function's memory limit. Default 4 GiB, the most that
    /// 32-bit modules can address.
    pub max_memory_bytes: ByteSize,
    /// Ceiling of every function's table limit, in elements. Default 100,000.
    pub max_table_elements: u64,
    /// Maximum size of linked modules in memory, in bytes of machine code and symbols. Default 512 MiB.
    pub cache_bytes: ByteSize,
    /// Account for guests' memory, outputs and records. Default unbounded.
    pub memory: MemoryAccount,
    /// Options for compiling modules.
    pub compile: CompileOptions,
    /// Allows granted hosts to resolve to loopback, link-local and private addresses. Default false; for operators
    /// only.
    pub allow_private_network: bool,
    /// The node's GPU. Default none.
    pub gpu: Device,
    /// Observer of instantiations and calls. Default none.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Options for compiling modules. Each is compiled in a separate process, under limits.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Memory limit of the compiler, in addition to the memory of its process at the start. Default 1 GiB.
    pub memory_bytes: ByteSize,
    /// CPU limit in seconds. Default 180: CPython takes 12 in a release build, and five times as long in a build with
    /// debug assertions.
    pub cpu_seconds: u64,
    /// Wall-clock limit in seconds, for a machine that is busy. Default 600.
    pub wall_seconds: u64,
    /// Maximum size of a module. Larger ones are rejected before they are read. Default 64 MiB.
    pub max_module_bytes: ByteSize,
    /// Maximum size of the machine code. Default 512 MiB.
    pub max_artefact_bytes: ByteSize,
    /// Maximum number of concurrent compilations, at least 2. Tenants take turns, and one tenant has at most half of
    /// them. Default one per core, at least 2 and at most 4.
    pub concurrency: usize,
    /// User that workers switch to if the server runs as root. Default 65534, nobody. With `None` they stay root.
    pub user: Option<u32>,
    /// Command that runs [`crate::compile_worker_main`].
    pub worker: WorkerCommand,
}

/// A command for a worker process. Its program must run the worker before anything else.
#[derive(Debug, Clone, Default)]
pub struct WorkerCommand {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub args: Vec<String>,
}

impl CompileOptions {
    /// Returns the defaults with `worker` to compile.
    #[must_use]
    pub fn new(worker: WorkerCommand) -> Self {
        Self {
            memory_bytes: ByteSize::gib(1),
            cpu_seconds: 180,
            wall_seconds: 600,
            max_module_bytes: ByteSize::mib(64),
            max_artefact_bytes: ByteSize::mib(512),
            concurrency: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            user: Some(fabric_confine::User::NOBODY),
            worker,
        }
    }
}

impl Options {
    /// Creates an account of `memory` bytes and sets aside the sandbox's caches and `others` bytes in it. Compiled
    /// modules take at most an eighth, and so do the pages that free slots of the pool retain.
    pub fn limit_memory(&mut self, memory: ByteSize, tenant_share: u32, others: ByteSize) {
        self.cache_bytes = self.cache_bytes.min(ByteSize(memory.0 / 8));
        let set_aside = self.cache_bytes.0 + crate::pool::kept(self.max_instances, memory.0) + others.0;
        self.memory = MemoryAccount::new(memory, tenant_share, ByteSize(set_aside));
    }

    /// Returns the defaults for a data folder, with `worker` to compile.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, worker: WorkerCommand) -> Self {
        let data_dir = data_dir.into();
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        Self {
            volumes: data_dir.join("volumes"),
            volume_meter: None,
            artefact_bytes: 8 << 30,
            data_dir,
            max_instances: cores.saturating_mul(64).clamp(16, 512),
            slot_wait: Duration::from_secs(30),
            max_memory_bytes: ByteSize::gib(4),
            max_table_elements: 100_000,
            cache_bytes: ByteSize::mib(512),
            memory: MemoryAccount::unbounded(),
            compile: CompileOptions::new(worker),
            allow_private_network: false,
            gpu: Device::none("the node was started without one"),
            observer: None,
        }
    }
}
