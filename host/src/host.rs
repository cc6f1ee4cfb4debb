//! The handle to the sandbox, and what one call needs of it.

use crate::{
    entry::{
        http::{self as http_entry, Body, HttpCall},
        task::{self as task_entry, SlotWait, TaskCall, TaskReport},
    },
    error::Error,
    fault::{self, Unit},
    gpu,
    inspect::{self, Inspected},
    last_words::LastWords,
    limiter::Limiter,
    load::{Class, Linked, Loaded, Loader},
    logs::{LogSink, Logs},
    network::{AddressPolicy, Hooks, HostPattern},
    open_files::OpenFiles,
    options::Options,
    output::Output,
    pool,
    scope::{self, Scope},
    shape,
    slots::{SlotPermit, Slots},
    source::PartSource,
    state::{self, Setup, Shared, State},
    stats::{HostStats, Observer, add},
    ticker::{Live, Ticker},
    volumes::VolumeRoot,
};
use bytes::Bytes;
use fabric_types::{
    Code, Fault,
    digest::ModuleDigest,
    function::{Deployment, Entry, EntryKind},
    id::{FunctionName, TenantId},
    limits::Limits,
    manifest::Manifest,
    memory::{Charge, MemoryAccount},
    units::ByteSize,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmtime::{Config, Engine, Store};

/// The sandbox. Clones share it.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    loader: Loader,
    ticker: Ticker,
    slots: Slots,
    slot_wait: Duration,
    /// Guests whose responses go on.
    pub(crate) drivers: TaskTracker,
    pool: u32,
    pub(crate) volumes: Arc<VolumeRoot>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    policy: AddressPolicy,
    max_memory: u64,
    max_tables: u64,
    no_network: Arc<[HostPattern]>,
    memory: MemoryAccount,
    pub(crate) gpu: gpu::Device,
}

/// A place in the pool, and a guest that the ticker knows of.
pub(crate) struct Slot {
    _live: Live,
    _permit: SlotPermit,
}

impl Inner {
    /// Waits for a slot.
    ///
    /// # Errors
    /// `cancelled`; `unavailable` when a bounded wait is over, or too many wait already.
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
            // The slot first: there mostly is one, and then nothing else is looked at.
            biased;
            permit = self.slots.acquire(deployment, patience) => permit?,
            () = cancel.cancelled() => return Err(fault::cancelled()),
        };
        Ok(Slot { _live: self.ticker.live(), _permit: permit })
    }

    pub(crate) fn shared(
        &self,
        output: Output,
        logs: Option<Arc<dyn LogSink>>,
        limits: &Limits,
        tenant: &TenantId,
    ) -> Arc<Shared> {
        let payer = self.memory.tenant(tenant);
        Arc::new(Shared {
            output: Mutex::new(output.paid_by(&payer)),
            memory: Arc::new(Charge::none(&payer)),
            logs: Mutex::new(Logs::new(logs, limits.log_bytes.0)),
            bytes_in: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            gpu_us: Arc::default(),
            failed: AtomicBool::new(false),
        })
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn state(
        &self,
        setup: Setup,
        limits: &Limits,
        scope: Scope,
        shared: Arc<Shared>,
        source: Option<Box<dyn PartSource>>,
        params: Arc<str>,
        progress: Option<task_entry::Progress>,
        loaded: &Loaded,
        gpu: gpu::Access,
    ) -> State {
        let limiter = Limiter::new(limits, scope.unit, self.max_memory, self.max_tables, shared.memory.clone());
        let hooks = Hooks::new(loaded.network.clone(), self.policy);
        let gpu = gpu::Use::new(gpu, limits, shared.gpu_us.clone());
        State::new(setup, limits, limiter, scope, shared, source, params, progress, hooks, gpu)
    }

    /// A store under its limits: fuel, epochs, memory and tables, host calls.
    pub(crate) fn store(&self, engine: &Engine, state: State, fuel: u64) -> Result<Store<State>, Fault> {
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.call_hook(state::on_call);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(scope::on_epoch);
        let failed = |e: wasmtime::Error| Fault::new(Code::Internal, format!("fuel can't be set: {e:#}"));
        store.set_fuel(fuel).map_err(failed)?;
        // Compiled code keeps its fuel in a register, which is lost when a guest is ended in a loop without calls: what it
        // spent is known to within this.
        store.fuel_async_yield_interval(Some(FUEL_PRECISION)).map_err(failed)?;
        Ok(store)
    }

    pub(crate) fn instantiated(&self, kind: EntryKind, start: std::time::Instant) {
        add(&self.loader.counters.instances);
        if let Some(observer) = &self.observer {
            observer.instantiated(kind, task_entry::micros(start));
        }
    }
}

/// Fuel after which a guest's count is brought up to date: some milliseconds of it.
const FUEL_PRECISION: u64 = 10_000_000;

impl Host {
    /// Starts the engines, their pools and the epoch ticker.
    ///
    /// The pool is made as large as asked for, or halved until the address space holds it, which is logged.
    ///
    /// # Errors
    /// [`Error`] when no pool fits or the data folder can't be used.
    pub fn start(options: Options) -> Result<Self, Error> {
        let (pure, service, instances) = pool::engines(&options)?;
        let ticker = Ticker::start([pure.weak(), service.weak()])
            .map_err(|source| Error::Io { path: options.data_dir.clone(), source })?;
        let loader = Loader::new(&options, Class::new(pure)?, Class::new(service)?)?;
        tracing::debug!(instances, fingerprint = loader.pure.fingerprint, "sandbox ready");
        Ok(Self(Arc::new(Inner {
            loader,
            ticker,
            slots: Slots::new(instances),
            slot_wait: options.slot_wait,
            drivers: TaskTracker::new(),
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

    /// The engine's settings with a pool for `instances`, for a benchmark that compares with bare wasmtime.
    #[must_use]
    pub fn bare_config(pure: bool, instances: u32, options: &Options) -> Config {
        pool::config(pure, instances, options)
    }

    /// What names the engine in task keys: equal fingerprints give equal results and spend equal fuel.
    #[must_use]
    pub fn fingerprint(&self, pure: bool) -> &str {
        &self.0.loader.class(pure).fingerprint
    }

    /// What guests' memory is charged to.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        &self.0.memory
    }

    /// The GPU that guests use.
    #[must_use]
    pub fn gpu(&self) -> &gpu::Device {
        &self.0.gpu
    }

    /// Modules that are ready in memory, at most `limit` of them.
    #[must_use]
    pub fn warm(&self, limit: usize) -> Vec<ModuleDigest> {
        self.0.loader.warm(limit)
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> HostStats {
        self.0.loader.counters.snapshot(self.0.ticker.count(), u64::from(self.0.pool))
    }

    /// Bytes of the largest module that is taken.
    #[must_use]
    pub fn max_module_bytes(&self) -> u64 {
        self.0.loader.compiler.max_module_bytes()
    }

    /// Takes an upload of a tenant: in the capped worker it is validated, its entry found, its imports checked and its
    /// code compiled; the machine code is kept on disk, and the module asked to describe itself. Modules compile in
    /// turns by tenant. Dropping the future ends the compilation.
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
            .map_err(|e| Fault::new(Code::Internal, format!("looking at the module failed: {e}")))?;
        let (prepared, compile_ms) = loader.upload(tenant, digest, &module).await?;
        let entry = prepared.facts.entry;
        let mut inspected =
            Inspected { digest, entry, describe: None, description: None, compile_ms, warnings: Vec::new() };
        if prepared.facts.describes
            && let Linked::Task(_) = prepared.linked
        {
            match self.describe(digest, entry, prepared).await {
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

    /// Asks a module to describe itself, under limits far below any call's.
    async fn describe(
        &self,
        digest: ModuleDigest,
        entry: Entry,
        prepared: Arc<crate::load::Prepared>,
    ) -> Result<Option<String>, Fault> {
        let internal = |e: &dyn std::fmt::Display| Fault::new(Code::Internal, e.to_string());
        let name = FunctionName::new("describe").map_err(|e| internal(&e))?;
        let deployment = Arc::new(Deployment {
            tenant: TenantId::new("describe").map_err(|e| internal(&e))?,
            function: name.clone(),
            version: 1,
            module: digest,
            module_bytes: 0,
            entry,
            manifest: Manifest::named(name),
            created_ms: 0,
            note: String::new(),
        });
        let limits = Limits {
            fuel: 1_000_000_000,
            deadline_ms: 2_000,
            memory_bytes: ByteSize::mib(256),
            host_calls: 10_000,
            ..Limits::default()
        };
        let loaded = Loaded { prepared, deployment: deployment.clone(), network: self.0.no_network.clone() };
        let _slot = self.0.slot(&loaded.deployment, SlotWait::UntilCancelled, &CancellationToken::new()).await?;
        let shared = self.0.shared(Output::new(1 << 16, 0, 0, false), None, &limits, &deployment.tenant);
        let scope = Scope::new(&limits, Unit::Task, None, CancellationToken::new());
        let setup = Setup { deployment, volumes: self.0.volumes.clone(), seed: [0; 32], stage: "describe" };
        let state = self.0.state(
            setup,
            &limits,
            scope.clone(),
            shared,
            None,
            "{}".into(),
            None,
            &loaded,
            gpu::Access::NotAsked,
        );
        let mut store = self.0.store(&loaded.prepared.engine, state, limits.fuel)?;
        let Linked::Task(task) = &loaded.prepared.linked else { return Ok(None) };
        match scope.bound(task_entry::describe(task, &mut store)).await {
            scope::Ended::Returned(json) => {
                json.map_err(|e| fault::classify(&e, Unit::Task, LastWords::default(), &loaded.prepared.symbols))
            }
            scope::Ended::GivenUp(fault) => Err(fault),
        }
    }

    /// Readies a deployment. Machine code comes from memory, then from disk; else `fetch` brings the module's bytes and
    /// the worker compiles them. Concurrent loads of one module do it once.
    ///
    /// # Errors
    /// What `fetch` gave, or what compiling gave.
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

    /// Runs one call of a task or a command, in a fresh instance, inside this future. Dropping it ends the guest.
    pub async fn run_task(&self, loaded: &Loaded, call: TaskCall) -> TaskReport {
        task_entry::run(&self.0, loaded, call).await
    }

    /// Runs one request to an http function, in a fresh instance. Dropping this future or the response's body ends the
    /// guest; so does its deadline, whether or not anybody reads the body. Needs a tokio runtime.
    ///
    /// # Errors
    /// What kept the function from beginning a response.
    pub async fn handle_http<B>(
        &self,
        loaded: &Loaded,
        request: http::Request<B>,
        call: HttpCall,
    ) -> Result<http::Response<Body>, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        http_entry::handle(self.0.clone(), loaded, request, call).await
    }
}
