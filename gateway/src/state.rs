//! The services that the gateway uses, and the state that its handlers share.

use crate::{
    Error,
    access_log::AccessLog,
    error::Result,
    functions::Functions,
    health::{Dependency, Readiness, metrics::DependencyMetrics},
    idempotency::Idempotency,
    jupyterhub::JupyterHub,
    metrics::{HttpMetrics, process::ProcessMetrics},
    offload::{self, Offload},
    peers::Peers,
    python_runner::PythonRunner,
    shares::{ShareLimits, Shares},
    tokens::Tokens,
};
use fabric_backend::Backend;
use fabric_driver::Driver;
use fabric_index::Index;
use fabric_node::NodeHandle;
use fabric_results::ResultStore;
use fabric_store::{Store, SweepMode};
use fabric_types::{Code, id::TenantId, price::Prices, rest::sweep::Removed};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The services that the binary passes in.
#[derive(Clone)]
pub struct Services {
    /// Registry, journal and the other parts of the backend.
    pub backend: Backend,
    /// Objects and modules.
    pub store: Store,
    /// Lists, filters and full-text search.
    pub index: Index,
    /// The driver of the jobs, if this process owns them from the start; see [`App::own`].
    pub driver: Option<Driver>,
    /// The other processes of a fleet.
    pub peers: Option<Arc<Peers>>,
    /// Other dependencies of this process, such as a fleet's NATS.
    pub dependencies: Vec<Arc<dyn Dependency>>,
    /// The JupyterHub with users that may use this server.
    pub jupyterhub: Option<JupyterHub>,
    /// The node, for synchronous calls and uploads.
    pub node: NodeHandle,
    /// Committed results.
    pub results: ResultStore,
    /// The metrics of node, driver and host; the gateway adds its own.
    pub metrics: Arc<Mutex<Registry>>,
    /// The module that runs Python functions, if the server has one.
    pub python_runner: Option<Arc<PythonRunner>>,
    /// The server's data folder.
    pub data_dir: PathBuf,
    /// Prices of the resources that guests use, if the operator set any.
    pub prices: Option<Prices>,
    /// Retention of answers to requests with an idempotency key.
    pub keep_answers: Duration,
    /// Retention of tokens after they have expired.
    pub keep_tokens: Duration,
    /// Interval between sweeps of data past its retention.
    pub sweep_every: Duration,
}

/// Maximum open event streams and log followers: in total, of one tenant, and of the total for admins only.
const STREAMS: ShareLimits = ShareLimits { most: 1024, of_one: 256, reserve: 64 };

/// Options for computations on a request's own bytes: schemas, parameters and long bodies. Each is bounded to a few
/// seconds by the size of its input.
fn checks() -> offload::Options {
    offload::Options {
        work_name: "checking the request",
        threads: threads(),
        threads_per_tenant: threads() / 2,
        waiting_per_tenant: 64,
        waiting: 1024,
        queue_timeout: Duration::from_secs(30),
        deadline: Duration::from_secs(30),
    }
}

/// Options for reading a tenant's data on behalf of a request: planning a data set, searching results.
fn scans() -> offload::Options {
    offload::Options {
        work_name: "reading the data set",
        threads: threads(),
        threads_per_tenant: threads() / 2,
        waiting_per_tenant: 64,
        waiting: 1024,
        queue_timeout: Duration::from_secs(60),
        deadline: Duration::from_secs(300),
    }
}

/// Options for searching a tenant's jobs, log lines and objects for a list.
fn searches() -> offload::Options {
    offload::Options { work_name: "searching", deadline: Duration::from_secs(60), ..checks() }
}

/// Returns the threads of each kind of work: one per processor, at least 2 (for two tenants) and at most 16.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16)
}

/// The state that handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct App(Arc<AppState>);

/// The contents of [`App`].
pub struct AppState {
    /// The services that were passed in.
    pub services: Services,
    driver: OnceLock<Driver>,
    /// The function registry.
    pub functions: Functions,
    /// The tokens.
    pub tokens: Tokens,
    /// Stored answers of requests with an idempotency key.
    pub idempotency: Idempotency,
    /// Request metrics.
    pub http: HttpMetrics,
    /// The last readiness report.
    pub health: Readiness,
    /// The metrics of dependencies.
    pub dependencies: DependencyMetrics,
    /// Log lines about sign-ins, refusals and changes.
    pub(crate) access_log: AccessLog,
    /// Threads for computations on a request's own bytes.
    pub checks: Offload,
    /// Threads for reading a tenant's data on behalf of a request.
    pub scans: Offload,
    /// Threads for lists that search all of a tenant's jobs, log lines or objects.
    pub searches: Offload,
    /// Shares of the streams that stay open.
    pub(crate) streams: Shares<TenantId>,
    /// Work that outlives its connection, awaited at shutdown.
    pub tasks: TaskTracker,
    /// Set when the server is about to stop but still answers.
    pub leaving: CancellationToken,
    /// Set when the server begins to stop.
    pub stopping: CancellationToken,
    /// Set when the grace period has ended: remaining work is dropped.
    pub aborting: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = AppState;
    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl App {
    /// Creates the state of a gateway without its listener.
    #[must_use]
    pub fn new(services: Services, stopping: CancellationToken) -> Self {
        let (http, dependencies) = {
            let mut metrics = services.metrics.lock();
            metrics.register_collector(Box::new(ProcessMetrics));
            (HttpMetrics::register(&mut metrics), DependencyMetrics::register(&mut metrics))
        };
        let checks = Offload::new(checks());
        let driver = services.driver.clone().map_or_else(OnceLock::new, OnceLock::from);
        Self(Arc::new(AppState {
            driver,
            functions: Functions::new(services.backend.clone(), checks.clone()),
            checks,
            scans: Offload::new(scans()),
            searches: Offload::new(searches()),
            tokens: Tokens::new(services.backend.clone()),
            idempotency: Idempotency::new(
                services.backend.clone(),
                services.peers.is_none(),
                services.store.accounts().clone(),
                services.keep_answers,
            ),
            http,
            health: Readiness::default(),
            dependencies,
            access_log: AccessLog::default(),
            streams: Shares::new(STREAMS),
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stopping,
            aborting: CancellationToken::new(),
            services,
        }))
    }

    /// Makes this process the owner of the jobs, for the rest of its life.
    pub fn own(&self, driver: Driver) {
        let _ = self.driver.set(driver);
    }

    /// Returns `true` if this process owns the jobs.
    #[must_use]
    pub fn owns(&self) -> bool {
        self.driver.get().is_some()
    }

    /// Removes tokens that expired long ago, or counts them.
    ///
    /// # Errors
    /// The errors of the registry.
    pub async fn sweep_tokens(&self, mode: SweepMode) -> Result<Removed> {
        let keep_ms = u64::try_from(self.services.keep_tokens.as_millis()).unwrap_or(u64::MAX);
        let removed = self.tokens.sweep(crate::clock::now_ms().saturating_sub(keep_ms), mode).await?;
        if mode == SweepMode::Remove
            && let Some(driver) = self.driver.get()
        {
            driver.metrics().expired("tokens", removed);
        }
        Ok(removed)
    }

    /// Returns the driver of the jobs.
    ///
    /// # Errors
    /// `unavailable` while this process does not own them.
    pub fn driver(&self) -> Result<&Driver> {
        self.driver.get().ok_or_else(|| {
            Error::new(Code::Unavailable, "this process does not own the jobs").hint("try again in a moment")
        })
    }
}
