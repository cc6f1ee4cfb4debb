//! The components of a server that every role needs, with or without a fleet.

use crate::{
    COMPILE_WORKER, Error, GPU_WORKER,
    settings::{ServeConfig, choices::GpuChoice},
};
use fabric_backend::Backend;
use fabric_driver::Driver;
use fabric_host::{GpuDevice, GpuSearch, Host, WorkerCommand};
use fabric_index::{Index, RecordSink};
use fabric_node::{NodeHandle, NodeMetrics, Offer, StorageOptions, Volumes, machine_memory, remembered_bytes};
use fabric_results::ResultStore;
use fabric_store::{AccountOptions, Accounts, DiskFloor, Store, StoreOptions};
use fabric_types::{Fault, id::NodeId, policy::Policy, units::ByteSize};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Minimum interval between the retention sweeps of a fleet.
const FLEET_SWEEP: Duration = Duration::from_secs(3600);

/// Opens the object store: the configured one, else a folder below the data folder.
pub(super) fn open_store(config: &ServeConfig) -> Result<Store, Error> {
    let own = || config.data.value.join("objects").display().to_string();
    let location = config.store.as_ref().map_or_else(own, |s| s.value.clone());
    Store::open(&location, StoreOptions::default())
        .map_err(|e| Fault { hint: e.hint(), ..Fault::new(e.code(), e.to_string()) }.into())
}

/// Creates the accounts of tenants' storage, for the disks of the data folder and of a store in a local folder.
fn accounts(config: &ServeConfig) -> Accounts {
    let data = &config.data.value;
    let storage = &config.storage.value;
    let store = config.store.as_ref().map(|s| s.value.strip_prefix("file://").unwrap_or(&s.value).to_owned());
    let local = store.filter(|s| !s.contains("://") && !s.starts_with("memory:")).map(std::path::PathBuf::from);
    let folders = std::iter::once(data.clone()).chain(local).collect();
    Accounts::new(AccountOptions {
        quota: Some(storage.quota()),
        floor: Some(DiskFloor { folders, bytes: storage.free(data) }),
        counted: true,
    })
}

/// Starts the search for the GPU that guests use. A process that runs no guests does not search.
fn gpu(config: &ServeConfig) -> Result<GpuDevice, Error> {
    if !config.role.value.node {
        return Ok(GpuDevice::none("this process runs no guests"));
    }
    if config.gpu.value == GpuChoice::Off {
        return Ok(GpuDevice::none("the operator switched it off: fabric serve --gpu off"));
    }
    let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
    let mut search = GpuSearch::new(WorkerCommand { program, args: vec![GPU_WORKER.to_owned()] });
    search.any_software = config.gpu.value == GpuChoice::Any;
    search.adapter = config.gpu_adapter.as_ref().map(|name| name.value.clone());
    search.memory_bytes = config.gpu_memory.value.0;
    search.user = config.worker_user();
    Ok(GpuDevice::find(search))
}

/// The work that a node accepts.
pub(super) enum NodeWork {
    /// Checks and compilations of uploads; no guest runs for a client.
    Nothing,
    /// Tasks, and calls from other processes at this address.
    Work(Option<String>),
}

/// The components that every role needs.
#[derive(Clone)]
pub(super) struct ServerComponents {
    pub(super) backend: Backend,
    pub(super) index: Index,
    notes: RecordSink,
    pub(super) store: Store,
    pub(super) results: ResultStore,
    pub(super) host: Host,
    folder: PathBuf,
    slots: u32,
    offer: Offer,
    policy: Policy,
    scheduling: fabric_driver::Config,
    max_tasks: u32,
    open_jobs: ByteSize,
    retention: fabric_driver::Retention,
    volumes: Volumes,
    pub(super) metrics: NodeMetrics,
}

impl ServerComponents {
    /// Opens the index and starts the sandbox. In a fleet, activity records of this process go to the owner of the
    /// jobs.
    pub(super) fn new(config: &ServeConfig, backend: Backend, store: Store) -> Result<Self, Error> {
        let is_fleet = config.nats.is_some();
        let data = &config.data.value;
        let storage = &config.storage.value;
        let kept = fabric_index::Options {
            log_bytes: storage.logs(),
            log_bytes_of_all: storage.logs_of_all(),
            log_age: storage.keep_logs(),
            invocation_age: storage.keep_invocations(),
            ..fabric_index::Options::default()
        };
        let index = Index::open_with(&data.join("index.db"), kept)
            .map_err(|e| Error::coded(e.code(), format!("opening the index: {e}")))?;
        let store = store.charged_to(accounts(config));
        let notes = if is_fleet { RecordSink::Outbox(Arc::default()) } else { RecordSink::Index(index.clone()) };
        let results = ResultStore::new(backend.results.clone(), store.clone());
        let metrics = NodeMetrics::default();
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let worker = WorkerCommand { program, args: vec![COMPILE_WORKER.to_owned()] };
        let mut sandbox = fabric_host::Options::new(data.join("sandbox"), worker);
        config.limit_compilations(&mut sandbox.compile);
        sandbox.observer = Some(metrics.observer());
        sandbox.slot_wait = config.slot_wait_time();
        sandbox.artefact_bytes = storage.artefacts();
        let volumes = Volumes::new(sandbox.volumes.clone(), store.accounts().clone());
        sandbox.volume_meter = Some(Arc::new(volumes.clone()));
        sandbox.gpu = gpu(config)?;
        let memory = config.memory.as_ref().map_or_else(machine_memory, |memory| memory.value.0);
        let remembered = ByteSize(remembered_bytes(memory));
        sandbox.limit_memory(ByteSize(memory), config.tenant_memory_share.value, remembered);
        let host = Host::start(sandbox).map_err(|e| Error::internal("starting the sandbox", e))?;
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let slots = config.slots.as_ref().map_or(cores, |s| s.value);
        let scheduling =
            fabric_driver::Config { weights: config.placement.value.weights(), ..fabric_driver::Config::default() };
        let max_tasks = config.max_tasks.value;
        let (offer, policy) = (config.offer(), config.policy());
        let open_jobs = config.placement.value.open_jobs_memory();
        let folder = data.clone();
        let retention = fabric_driver::Retention {
            jobs: storage.keep_jobs(),
            results: storage.keep_results(),
            // In a fleet, each sweep makes many requests to the store.
            every: if is_fleet { storage.sweep_every().max(FLEET_SWEEP) } else { storage.sweep_every() },
        };
        Ok(Self {
            backend,
            index,
            notes,
            store,
            results,
            host,
            folder,
            slots,
            offer,
            policy,
            scheduling,
            max_tasks,
            open_jobs,
            retention,
            volumes,
            metrics,
        })
    }

    /// Starts the owner of jobs; in a fleet, under a lease of this epoch.
    pub(super) async fn driver(&self, epoch: Option<u64>) -> Result<Driver, Error> {
        let host = self.host.clone();
        let options = fabric_driver::Options {
            backend: self.backend.clone(),
            store: self.store.clone(),
            results: self.results.clone(),
            index: self.index.clone(),
            fingerprint: Arc::new(move |class| host.fingerprint(class).to_owned()),
            config: self.scheduling.clone(),
            max_tasks: self.max_tasks,
            open_jobs: self.open_jobs,
            epoch,
            retention: self.retention.clone(),
        };
        Ok(Driver::start(options).await?)
    }

    /// Starts the node; `epoch` is that of the lease on its name.
    pub(super) async fn node(&self, id: NodeId, epoch: u64, work: NodeWork) -> Result<NodeHandle, Error> {
        let (slots, url) = match work {
            NodeWork::Nothing => (0, None),
            NodeWork::Work(url) => (self.slots, url),
        };
        let options = fabric_node::Options {
            id,
            epoch,
            slots,
            url,
            offer: self.offer.clone(),
            backend: self.backend.clone(),
            store: self.store.clone(),
            results: self.results.clone(),
            notes: self.notes.clone(),
            host: self.host.clone(),
            folder: Some(self.folder.clone()),
            policy: self.policy.clone(),
            metrics: self.metrics.clone(),
            storage: StorageOptions::new(self.index.clone(), self.volumes.clone()),
        };
        Ok(NodeHandle::start(options).await?)
    }
}
