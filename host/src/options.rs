//! How the sandbox is set up. The defaults deny and bound everything.

use crate::{gpu::Device, stats::Observer, volumes::VolumeMeter};
use fabric_types::{memory::MemoryAccount, units::ByteSize};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How the sandbox is set up.
#[derive(Clone)]
pub struct Options {
    /// Compiled modules and their key live under it; made when absent.
    pub data_dir: PathBuf,
    /// Tenant volumes: `{volumes}/{tenant}/{name}`. Default `data_dir/volumes`.
    pub volumes: PathBuf,
    /// Charges what guests write to volumes. Default none: they write without a bound.
    pub volume_meter: Option<Arc<dyn VolumeMeter>>,
    /// Bytes of compiled modules kept on disk; of more those go that were not used for longest. Default 8 GiB.
    pub artefact_bytes: u64,
    /// Instances alive at once; more wait for their turn. Default 64 for each core, 16 to 512.
    pub max_instances: u32,
    /// How long a call waits for one of them before it is refused with `unavailable`. Tasks of jobs wait without limit.
    /// Default 30 s.
    pub slot_wait: Duration,
    /// The largest memory a single linear memory may have, and the ceiling of every function's memory limit.
    /// Default 4 GiB, the most that 32-bit modules can address.
    pub max_memory_bytes: ByteSize,
    /// The ceiling of every function's table limit, in elements. Default 100,000.
    pub max_table_elements: u64,
    /// Compiled modules kept ready in memory, in bytes of machine code. Default 512 MiB.
    pub cache_bytes: ByteSize,
    /// What guests' memory, outputs and records are charged to. Default: an account without a bound.
    pub memory: MemoryAccount,
    /// How modules are compiled.
    pub compile: CompileOptions,
    /// Lets granted hosts resolve to loopback, link-local and private addresses. Default false; for operators only.
    pub allow_private_network: bool,
    /// The node's GPU. Default: none.
    pub gpu: Device,
    /// Told of every instantiation and call. Default none.
    pub observer: Option<Arc<dyn Observer>>,
}

/// How modules are compiled: in a process of their own, under limits.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Memory the compiler may take beyond what its process has at the start. Default 1 GiB.
    pub memory_bytes: ByteSize,
    /// CPU seconds. Default 180: CPython takes 12 in a release build, and five times as many in one with checks.
    pub cpu_seconds: u64,
    /// Seconds by the clock, for a machine that is busy with other things. Default 600.
    pub wall_seconds: u64,
    /// Larger modules are refused unread. Default 64 MiB.
    pub max_module_bytes: ByteSize,
    /// Larger machine code is refused. Default 512 MiB.
    pub max_artefact_bytes: ByteSize,
    /// Compilations at once, at least 2; others wait, and tenants take turns. A tenant has at most half of them. Default:
    /// one for each core, 2 to 4.
    pub concurrency: usize,
    /// The user that workers become where the server runs as root. Default 65534, nobody; `None`: they stay root.
    pub user: Option<u32>,
    /// What runs [`crate::compile_worker_main`].
    pub worker: WorkerCommand,
}

/// A program that calls [`crate::compile_worker_main`] before anything else.
#[derive(Debug, Clone, Default)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl CompileOptions {
    /// The defaults, with `worker` to compile.
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
    /// Takes the sandbox's caches, and `others` bytes, out of an account of `memory` bytes before anybody else gets some of it:
    /// compiled modules take an eighth at most, and so do the pages that free slots of the pool keep.
    pub fn limit_memory(&mut self, memory: ByteSize, tenant_share: u32, others: ByteSize) {
        self.cache_bytes = self.cache_bytes.min(ByteSize(memory.0 / 8));
        let set_aside = self.cache_bytes.0 + crate::pool::kept(self.max_instances, memory.0) + others.0;
        self.memory = MemoryAccount::new(memory, tenant_share, ByteSize(set_aside));
    }

    /// The defaults for a data folder, with `worker` to compile.
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
