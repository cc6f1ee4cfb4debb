//! The handle to the sandbox, and the state that its calls share.

use crate::{
    call::{CallShared, SlotWait},
    entry::{
        describe,
        http::{self as http_entry, HttpCall},
        response_body::ResponseBody,
        task::{self as task_entry, TaskCall, TaskReport},
    },
    error::Error,
    fault::{self, WorkUnit},
    gpu,
    inspect::{self, Inspected},
    limiter::Limiter,
    load::{Linked, LinkedEngine, Loaded, Loader},
    logs::LogSink,
    network::{AddressPolicy, HostPattern},
    open_files::OpenFiles,
    options::Options,
    output::Output,
    pool, shape,
    slots::{SlotPermit, Slots},
    stats::{HostStats, Observer, add},
    ticker::{Live, Ticker},
    volumes::VolumeRoot,
};
use bytes::Bytes;
use fabric_types::{
    Code, EngineClass, Fault,
    digest::ModuleDigest,
    function::Deployment,
    id::TenantId,
    limits::Limits,
    memory::{Charge, MemoryAccount},
};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmtime::Config;

/// A handle to the sandbox. Clones share it.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    loader: Loader,
    ticker: Ticker,
    slots: Slots,
    slot_wait: Duration,
    /// Tasks of guests whose responses are in progress.
    pub(crate) guest_tasks: TaskTracker,
    pool: u32,
    pub(crate) volumes: Arc<VolumeRoot>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) policy: AddressPolicy,
    max_memory: u64,
    max_tables: u64,
    pub(crate) no_network: Arc<[HostPattern]>,
    memory: MemoryAccount,
    pub(crate) gpu: gpu::Device,
}

/// A slot of the pool, and a live guest for the ticker.
pub(crate) struct Slot {
    _live: Live,
    _permit: SlotPermit,
}

impl Inner {
    /// Waits for a slot.
    ///
    /// # Errors
    /// `cancelled`; `unavailable` if a bounded wait times out or too many calls are waiting.
    pub(crate) async fn slot(
        &self,
        deployment: &Arc<Deployment>,
        wait: SlotWait,
        cancel: &CancellationToken,
    ) -> Result<Slot, Fault> {
        let patience = match wait {
            SlotWait::Bounded => Some(self.slot_wait),
            SlotWait::UntilCancelled => None,
        };
        let permit = tokio::select! {
            // The slot first: usually one is free, and nothing else needs to be polled.
            biased;
            permit = self.slots.acquire(deployment, patience) => permit?,
            () = cancel.cancelled() => return Err(fault::cancelled()),
        };
        Ok(Slot { _live: self.ticker.live(), _permit: permit })
    }

    /// Creates the shared state of a call.
    pub(crate) fn call_shared(
        &self,
        loaded: &Loaded,
        limits: &Limits,
        output: Output,
        logs: Option<Arc<dyn LogSink>>,
    ) -> Arc<CallShared> {
        CallShared::new(&self.memory, &loaded.deployment.tenant, limits, output, logs)
    }

    /// Creates the limiter of a call's memories and tables, which are charged to `memory`.
    pub(crate) fn limiter(&self, limits: &Limits, unit: WorkUnit, memory: Arc<Charge>) -> Limiter {
        Limiter::new(limits, unit, self.max_memory, self.max_tables, memory)
    }

    pub(crate) fn count_instance(&self) {
        add(&self.loader.counters.instances);
    }
}

impl Host {
    /// Starts the engines, their pools and the epoch ticker.
    ///
    /// If the address space can't hold a pool of the requested size, the size is halved until it fits, which is logged.
    ///
    /// # Errors
    /// [`Error`] if no pool fits or the data folder can't be used.
    pub fn start(options: Options) -> Result<Self, Error> {
        let (deterministic, general, instances) = pool::engines(&options)?;
        let ticker = Ticker::start([deterministic.weak(), general.weak()])
            .map_err(|source| Error::Io { path: options.data_dir.clone(), source })?;
        let loader = Loader::new(&options, LinkedEngine::new(deterministic)?, LinkedEngine::new(general)?)?;
        tracing::debug!(instances, fingerprint = loader.deterministic.fingerprint, "sandbox ready");
        Ok(Self(Arc::new(Inner {
            loader,
            ticker,
            slots: Slots::new(instances),
            slot_wait: options.slot_wait,
            guest_tasks: TaskTracker::new(),
            pool: instances,
            volumes: Arc::new(VolumeRoot {
                folder: options.volumes,
                meter: options.volume_meter,
                files: Arc::new(OpenFiles::new()),
            }),
            observer: options.observer,
            policy: AddressPolicy { allow_private: options.allow_private_network },
            max_memory: options.max_memory_bytes.0,
            max_tables: options.max_table_elements,
            no_network: Arc::new([]),
            memory: options.memory,
            gpu: options.gpu,
        })))
    }

    /// Returns the engine settings with a pool for `instances`, for a benchmark that compares with bare wasmtime.
    #[must_use]
    pub fn bare_config(class: EngineClass, instances: u32, options: &Options) -> Config {
        pool::config(class, instances, options)
    }

    /// Returns the engine fingerprint for task keys. Engines with equal fingerprints give equal results and consume
    /// equal fuel.
    #[must_use]
    pub fn fingerprint(&self, class: EngineClass) -> &str {
        &self.0.loader.engine(class).fingerprint
    }

    /// Returns the account that guests' memory is charged to.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        &self.0.memory
    }

    /// Returns the GPU that guests use.
    #[must_use]
    pub fn gpu(&self) -> &gpu::Device {
        &self.0.gpu
    }

    /// Returns up to `limit` modules that are linked in memory.
    #[must_use]
    pub fn linked_modules(&self, limit: usize) -> Vec<ModuleDigest> {
        self.0.loader.linked_modules(limit)
    }

    /// Returns the counters of this host.
    #[must_use]
    pub fn stats(&self) -> HostStats {
        self.0.loader.counters.snapshot(self.0.ticker.count(), u64::from(self.0.pool))
    }

    /// Returns the maximum size of a module, in bytes.
    #[must_use]
    pub fn max_module_bytes(&self) -> u64 {
        self.0.loader.compiler.max_module_bytes()
    }

    /// Processes a tenant's upload. The confined worker validates the module, finds its entry, checks its imports and
    /// compiles it. The machine code is then stored on disk, and the module's `describe` is called. Tenants take turns
    /// to compile. Dropping the future cancels the compilation.
    ///
    /// # Errors
    /// `not-wasm`, `invalid-module`, `unknown-import`, `no-entry`, `compile-limit`, `too-large`, `memory-limit`,
    /// `too-many-requests`.
    pub async fn inspect_and_compile(&self, tenant: &TenantId, module: Bytes) -> Result<Inspected, Fault> {
        let loader = &self.0.loader;
        shape::form(&module)?;
        loader.compiler.check_size(module.len())?;
        let bytes = module.clone();
        let digest = tokio::task::spawn_blocking(move || ModuleDigest::of(&bytes))
            .await
            .map_err(|e| Fault::new(Code::Internal, format!("hashing the module failed: {e}")))?;
        let (prepared, compile_ms) = loader.upload(tenant, digest, &module).await?;
        let entry = prepared.facts.entry;
        let mut inspected =
            Inspected { digest, entry, describe: None, description: None, compile_ms, warnings: Vec::new() };
        if prepared.facts.describes
            && let Linked::Task(_) = prepared.linked
        {
            match describe::run(&self.0, digest, prepared).await {
                Ok(Some(json)) => match inspect::description(&json) {
                    Ok((params, description)) => {
                        inspected.describe = params;
                        inspected.description = description;
                    }
                    Err(warning) => inspected.warnings.push(warning),
                },
                Ok(None) => {}
                Err(fault) => inspected.warnings.push(format!("`describe` failed: {fault}")),
            }
        }
        Ok(inspected)
    }

    /// Compiles a module for all functions that may be deployed with it, so that no deployment and no first call waits.
    /// Returns the time of the compilations in milliseconds; 0 if the module was compiled before.
    ///
    /// # Errors
    /// Those of [`Self::inspect_and_compile`].
    pub async fn precompile(&self, tenant: &TenantId, digest: ModuleDigest, module: Bytes) -> Result<u64, Fault> {
        shape::form(&module)?;
        self.0.loader.compiler.check_size(module.len())?;
        self.0.loader.precompile(tenant, digest, &module).await
    }

    /// Prepares a deployment. Machine code comes from memory, then from disk; otherwise `fetch` returns the module's
    /// bytes and the worker compiles them. Concurrent loads of one module share one preparation.
    ///
    /// # Errors
    /// The fault of `fetch` or of the compilation.
    pub async fn load<F, Fut>(&self, deployment: &Arc<Deployment>, fetch: F) -> Result<Arc<Loaded>, Fault>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, Fault>>,
    {
        let prepared = self.0.loader.prepared(deployment, fetch).await?;
        let grants = &deployment.manifest.grants.network;
        let network = if grants.is_empty() {
            self.0.no_network.clone()
        } else {
            grants.iter().map(|g| HostPattern::parse(g)).collect()
        };
        Ok(Arc::new(Loaded { prepared, deployment: deployment.clone(), network }))
    }

    /// Runs one call of a task or command in a new instance, inside this future. Dropping the future terminates the
    /// guest.
    pub async fn run_task(&self, loaded: &Loaded, call: TaskCall) -> TaskReport {
        task_entry::run(&self.0, loaded, call).await
    }

    /// Runs one request to an http function in a new instance. Dropping this future or an incomplete response body
    /// terminates the guest. Its deadline does so even if nobody reads the body. Requires a Tokio runtime.
    ///
    /// # Errors
    /// The fault that prevented the function from beginning a response.
    pub async fn handle_http<B>(
        &self,
        loaded: &Loaded,
        request: http::Request<B>,
        call: HttpCall,
    ) -> Result<http::Response<ResponseBody>, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        http_entry::handle(self.0.clone(), loaded, request, call).await
    }
}
