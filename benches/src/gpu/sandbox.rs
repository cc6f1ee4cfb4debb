//! Measurement in a sandboxed guest: `examples/gpu-bench` uses its own clock, and runs in this process as on a node.

use super::{
    COMPILER, MEMORY_BYTES, WORKER,
    measure::{Row, Sizes},
};
use crate::arguments::Arguments;
use anyhow::anyhow;
use fabric_host::{
    GpuDevice, GpuSearch, Host, Loaded, Options, TaskCall, TaskStage, WorkerCommand, source::MemorySource,
};
use fabric_types::{
    Fault,
    digest::ModuleDigest,
    function::Deployment,
    gpu::GpuRequirement,
    id::{FunctionName, TenantId},
    manifest::Manifest,
    units::ByteSize,
};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// A host with the loaded guest.
pub struct Sandbox {
    host: Host,
    guest: Arc<Loaded>,
    /// Separate threads for guests, as in a node.
    threads: Runtime,
    _folder: tempfile::TempDir,
}

fn plain(fault: Fault) -> anyhow::Error {
    anyhow!("{fault}")
}

/// Returns a manifest with generous limits.
fn manifest() -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::named(FunctionName::new("gpu-bench")?);
    manifest.resources.gpu = GpuRequirement::Required;
    manifest.grants.clocks = true;
    let limits = &mut manifest.limits;
    (limits.fuel, limits.deadline_ms, limits.memory_bytes) = (1 << 50, 3_600_000, ByteSize::gib(4));
    (limits.gpu_memory_bytes, limits.gpu_ms, limits.gpu_submit_ms) = (ByteSize(MEMORY_BYTES), 3_600_000, 10_000);
    Ok(manifest)
}

impl Sandbox {
    /// Starts a host with this adapter and compiles the guest.
    pub async fn open(arguments: &Arguments, adapter: &str) -> anyhow::Result<Self> {
        let worker = |word: &str| -> anyhow::Result<_> {
            Ok(WorkerCommand { program: std::env::current_exe()?, args: vec![word.to_owned()] })
        };
        let mut search = GpuSearch::new(worker(WORKER)?);
        (search.adapter, search.any_software) = (Some(adapter.to_owned()), true);
        search.memory_bytes = MEMORY_BYTES;
        let folder = tempfile::tempdir()?;
        let options = Options { gpu: GpuDevice::find(search), ..Options::new(folder.path(), worker(COMPILER)?) };
        let host = Host::start(options)?;
        let module = bytes::Bytes::from(arguments.guest("gpu-bench")?);
        let tenant = TenantId::new("bench")?;
        let inspected = host.inspect_and_compile(&tenant, module.clone()).await.map_err(plain)?;
        let deployment = Deployment {
            tenant,
            function: FunctionName::new("gpu-bench")?,
            version: 1,
            module: ModuleDigest::of(&module),
            module_bytes: module.len() as u64,
            entry: inspected.entry,
            manifest: manifest()?,
            created_ms: 0,
            note: String::new(),
        };
        let guest = host.load(&Arc::new(deployment), || async { Ok(module) }).await.map_err(plain)?;
        let threads = Builder::new_multi_thread().thread_name("fabric-guest").enable_all().build()?;
        Ok(Self { host, guest, threads, _folder: folder })
    }

    /// Runs the guest's measurements.
    pub async fn measure(&self, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
        let limits = self.guest.deployment().manifest.limits.clone();
        let input = MemorySource::one("item", serde_json::to_vec(sizes)?);
        let call = TaskCall { limits, ..TaskCall::new(TaskStage::Map, input) };
        let (host, guest) = (self.host.clone(), self.guest.clone());
        let report = self.threads.spawn(async move { host.run_task(&guest, call).await }).await?;
        Ok(serde_json::from_slice(&report.result.map_err(plain)?.bytes)?)
    }

    /// Shuts down the GPU worker and the threads.
    pub async fn close(self) {
        self.host.gpu().shutdown().await;
        self.threads.shutdown_background();
    }
}
