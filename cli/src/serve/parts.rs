//! The parts of a server, their start and their stop, with or without a fleet.

use super::{GPU_WORKER, fault, internal, jupyterhub, reachable, signals::Signals, write_address};
use crate::{failure::Failure, serve_args::GpuChoice, serve_config::ServeConfig, shutdown_config::ShutdownSettings};
use fabric_backend::Backend;
use fabric_driver::Driver;
use fabric_gateway::{Gateway, Handle, Peers, Services, health::Dependency, tokens};
use fabric_host::{GpuDevice, GpuSearch, Host, WorkerCommand};
use fabric_index::{Index, RecordSink};
use fabric_node::{NodeHandle, NodeMetrics, Offer, StorageOptions, Volumes, machine_memory, remembered_bytes};
use fabric_results::ResultStore;
use fabric_store::{AccountOptions, Accounts, DiskFloor, Store, StoreOptions};
use fabric_types::{Fault, id::NodeId, policy::Policy, units::ByteSize};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// Minimum interval between the retention sweeps of a fleet.
const FLEET_SWEEP: Duration = Duration::from_secs(3600);

/// Binds the listener.
pub(super) async fn listen(config: &ServeConfig) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(config.listen.value).await;
    listener.map_err(|e| Failure::listening(config.listen.value, e))
}

/// Opens the object store: the configured one, else a folder below the data folder.
pub(super) fn open_store(config: &ServeConfig) -> Result<Store, Failure> {
    let own = || config.data.value.join("objects").display().to_string();
    let location = config.store.as_ref().map_or_else(own, |s| s.value.clone());
    Store::open(&location, StoreOptions::default())
        .map_err(|e| fault(Fault { hint: e.hint(), ..Fault::new(e.code(), e.to_string()) }))
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
fn gpu(config: &ServeConfig) -> Result<GpuDevice, Failure> {
    if !config.runs_guests() {
        return Ok(GpuDevice::none("this process runs no guests"));
    }
    if config.gpu.value == GpuChoice::Off {
        return Ok(GpuDevice::none("the operator switched it off: fabric serve --gpu off"));
    }
    let program = std::env::current_exe().map_err(|e| Failure::io("finding this program", e))?;
    let mut search = GpuSearch::new(WorkerCommand { program, args: vec![GPU_WORKER.to_owned()] });
    search.any_software = config.gpu.value == GpuChoice::Any;
    search.adapter = config.gpu_adapter.as_ref().map(|name| name.value.clone());
    search.memory_bytes = config.gpu_memory.value.0;
    search.user = config.workers.user();
    Ok(GpuDevice::find(search))
}

/// The work that a node accepts.
pub(super) enum Takes {
    /// Checks and compilations of uploads; no guest runs for a client.
    Nothing,
    /// Tasks, and calls from other processes at this address.
    Work(Option<String>),
}

/// The parts that every role needs.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) backend: Backend,
    pub(super) index: Index,
    notes: RecordSink,
    store: Store,
    results: ResultStore,
    host: Host,
    folder: PathBuf,
    slots: u32,
    offer: Offer,
    policy: Policy,
    scheduling: fabric_driver::Config,
    max_tasks: u32,
    open_jobs: ByteSize,
    retention: fabric_driver::Retention,
    volumes: Volumes,
    metrics: NodeMetrics,
}

impl Parts {
    /// Opens the index and starts the sandbox. In a fleet, activity records of this process go to the owner of the
    /// jobs.
    pub(super) fn new(config: &ServeConfig, backend: Backend, store: Store, fleet: bool) -> Result<Self, Failure> {
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
            .map_err(|e| Failure::coded(e.code(), format!("opening the index: {e}")))?;
        let store = store.charged_to(accounts(config));
        let notes = if fleet { RecordSink::Outbox(Arc::default()) } else { RecordSink::Index(index.clone()) };
        let results = ResultStore::new(backend.results.clone(), store.clone());
        let metrics = NodeMetrics::default();
        let program = std::env::current_exe().map_err(|e| Failure::io("finding this program", e))?;
        let worker = WorkerCommand { program, args: vec!["compile-worker".to_owned()] };
        let mut sandbox = fabric_host::Options::new(data.join("sandbox"), worker);
        config.workers.apply(&mut sandbox.compile);
        sandbox.observer = Some(metrics.observer());
        sandbox.slot_wait = config.connections.slot_wait();
        sandbox.artefact_bytes = storage.artefacts();
        let volumes = Volumes::new(sandbox.volumes.clone(), store.accounts().clone());
        sandbox.volume_meter = Some(Arc::new(volumes.clone()));
        sandbox.gpu = gpu(config)?;
        let memory = config.memory.as_ref().map_or_else(machine_memory, |memory| memory.value.0);
        let remembered = ByteSize(remembered_bytes(memory));
        sandbox.limit_memory(ByteSize(memory), config.tenant_memory_share.value, remembered);
        let host = Host::start(sandbox).map_err(|e| internal("starting the sandbox", e))?;
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let slots = config.slots.as_ref().map_or(cores, |s| s.value);
        let scheduling =
            fabric_driver::Config { weights: config.placement.value.weights(), ..fabric_driver::Config::default() };
        let max_tasks = config.max_tasks.value;
        let (offer, policy) = (config.offer(), config.policy.policy());
        let open_jobs = config.placement.value.open_jobs_memory();
        let folder = data.clone();
        let retention = fabric_driver::Retention {
            jobs: storage.keep_jobs(),
            results: storage.keep_results(),
            // In a fleet, each sweep makes many requests to the store.
            every: if fleet { storage.sweep_every().max(FLEET_SWEEP) } else { storage.sweep_every() },
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
    pub(super) async fn driver(&self, epoch: Option<u64>) -> Result<Driver, Failure> {
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
        Driver::start(options).await.map_err(fault)
    }

    /// Starts the node; `epoch` is that of the lease on its name.
    pub(super) async fn node(&self, id: NodeId, epoch: u64, takes: Takes) -> Result<NodeHandle, Failure> {
        let (slots, url) = match takes {
            Takes::Nothing => (0, None),
            Takes::Work(url) => (self.slots, url),
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
        NodeHandle::start(options).await.map_err(fault)
    }
}

/// A running server: it answers clients, runs guests and owns jobs, or does some of these.
pub(super) struct Serving<'a> {
    parts: Parts,
    driver: Option<Driver>,
    node: NodeHandle,
    handle: Handle,
    metrics: Arc<Mutex<Registry>>,
    data: &'a Path,
    shutdown: &'a ShutdownSettings,
    signals: Signals,
    _in_order: InOrder,
}

/// On drop, records that the process ends in an orderly way, so that running tasks are not counted as the cause of a
/// death.
struct InOrder(NodeHandle);

impl Drop for InOrder {
    fn drop(&mut self) {
        self.0.ends_in_order();
    }
}

/// The listener of a server and the options of its connections.
pub(super) struct Door {
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) listener: TcpListener,
    /// The other processes of a fleet.
    pub(super) peers: Option<Arc<Peers>>,
    /// Dependencies of the process other than disk and store.
    pub(super) dependencies: Vec<Arc<dyn Dependency>>,
    /// True if clients connect here; they find the address and a token in the data folder.
    pub(super) for_clients: bool,
}

impl<'a> Serving<'a> {
    /// Starts the gateway.
    pub(super) async fn start(
        parts: Parts,
        driver: Option<Driver>,
        node: NodeHandle,
        config: &'a ServeConfig,
        door: Door,
    ) -> Result<Self, Failure> {
        let data = config.data.value.as_path();
        let Door { tls, listener, peers, dependencies, for_clients } = door;
        let mut metrics = Registry::default();
        parts.metrics.register(&mut metrics);
        if let Some(driver) = &driver {
            driver.metrics().register(&mut metrics);
        }
        let metrics = Arc::new(Mutex::new(metrics));
        let services = Services {
            backend: parts.backend.clone(),
            store: parts.store.clone(),
            index: parts.index.clone(),
            driver: driver.clone(),
            node: node.clone(),
            results: parts.results.clone(),
            peers,
            dependencies,
            jupyterhub: jupyterhub::open(config)?,
            metrics: metrics.clone(),
            data_dir: data.to_owned(),
            prices: config.prices.as_ref().map(|prices| prices.value.clone()),
            keep_answers: config.storage.value.keep_answers(),
            keep_tokens: config.storage.value.keep_tokens(),
            sweep_every: config.storage.value.sweep_every(),
        };
        let gateway = Gateway::new(services);
        if for_clients {
            let machine = rustix::system::uname();
            let process = format!("process {} on {}", node.id(), machine.nodename().to_string_lossy());
            let token = tokens::ensure_admin_token(gateway.tokens(), data, &process).await;
            token.map_err(|e| Failure::coded(e.code(), e.to_string()))?;
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let options = fabric_gateway::Options { tls, grace: config.shutdown.grace(), ..config.connections.options() };
        let handle = gateway.serve(options, listener).map_err(|e| Failure::io("serving", e))?;
        let url = format!("{scheme}://{}", reachable(handle.addr));
        // Before any other process can find this one and send it a signal.
        let signals = Signals::listen()?;
        if for_clients {
            write_address(data, &url)?;
        }
        tracing::info!(%url, data = %data.display(), slots = node.room().slots, "ready");
        let in_order = InOrder(node.clone());
        let shutdown = &config.shutdown;
        Ok(Self { parts, driver, node, handle, metrics, data, shutdown, signals, _in_order: in_order })
    }

    /// Adds a collector to the metrics.
    pub(super) fn observe(&self, collector: impl prometheus_client::collector::Collector) {
        self.metrics.lock().register_collector(Box::new(collector));
    }

    /// Returns the signals that end the server.
    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Returns the node.
    pub(super) fn node(&self) -> &NodeHandle {
        &self.node
    }

    /// Makes this server the owner of the jobs.
    pub(super) fn own(&mut self, driver: Driver) {
        driver.metrics().register(&mut self.metrics.lock());
        self.handle.own(driver.clone());
        self.driver = Some(driver);
    }

    /// Reports the server as not ready, accepts no more tasks, and waits for running ones. Requests are still answered,
    /// at least for the shutdown delay, so that proxies can notice. Returns at once after a second signal.
    pub(super) async fn leave(&self) {
        self.node.ends_in_order();
        self.handle.leave();
        let (delay, drain) = (self.shutdown.delay(), self.shutdown.drain());
        tracing::info!(
            delay_s = delay.as_secs(),
            drain_s = drain.as_secs(),
            "leaving: not ready any more, requests are still answered; a second signal stops at once"
        );
        let left = async {
            tokio::join!(tokio::time::sleep(delay), self.node.drain(drain));
        };
        tokio::select! {
            () = left => {}
            () = self.signals.second() => {}
        }
    }

    /// Stops the server after the work under way has ended, or at once after a second signal.
    pub(super) async fn stop(self) {
        self.node.ends_in_order();
        tracing::info!("stopping; a second signal stops at once");
        let stop = async {
            self.handle.stop().await;
            if let Some(driver) = self.driver {
                driver.shutdown().await;
            }
            self.node.shutdown().await;
            self.parts.host.gpu().shutdown().await;
            if let Err(error) = self.parts.index.flush().await {
                tracing::warn!(%error, "the index was not flushed");
            }
        };
        tokio::select! {
            () = stop => {}
            () = self.signals.second() => {}
        }
        // Only a running server has an address.
        let _ = std::fs::remove_file(self.data.join("server.json"));
    }
}
