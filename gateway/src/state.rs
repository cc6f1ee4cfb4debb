//! What the gateway stands on, and what its handlers share.

use crate::{
    Error,
    access::log::AccessLog,
    error::Result,
    functions::Functions,
    health::{Dependency, Health},
    idempotency::Idempotency,
    jupyterhub::JupyterHub,
    metrics::{HttpMetrics, dependencies::DependencyMetrics, process::ProcessMetrics},
    offload::{self, Offload},
    peers::Peers,
    shares::{ShareLimits, Shares},
    tokens::Tokens,
};
use fabric_driver::Driver;
use fabric_engine::Engine;
use fabric_index::Index;
use fabric_node::Node;
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

/// What the wiring hands in.
#[derive(Clone)]
pub struct Services {
    /// Registry, journal and the rest.
    pub engine: Engine,
    /// Objects and modules.
    pub store: Store,
    /// Lists, filters, full text.
    pub index: Index,
    /// Jobs, when this process owns them from the start; see [`App::own`].
    pub driver: Option<Driver>,
    /// The other processes of a fleet.
    pub peers: Option<Arc<Peers>>,
    /// What else this process needs, such as a fleet's NATS.
    pub dependencies: Vec<Arc<dyn Dependency>>,
    /// The Hub whose users may come.
    pub jupyterhub: Option<JupyterHub>,
    /// Synchronous calls and uploads.
    pub node: Node,
    /// Committed results.
    pub results: ResultStore,
    /// Where node, driver and host registered their metrics; the gateway adds its own.
    pub metrics: Arc<Mutex<Registry>>,
    /// The server's folder.
    pub data_dir: PathBuf,
    /// Prices of what guests use, where the operator named some.
    pub prices: Option<Prices>,
    /// How long answers to requests with an idempotency key are kept.
    pub keep_answers: Duration,
    /// How long tokens are kept after they have expired.
    pub keep_tokens: Duration,
    /// How often those are looked for that were kept long enough.
    pub sweep_every: Duration,
}

/// Open event streams and log followers at once; of one tenant; of those, for admins only.
const STREAMS: ShareLimits = ShareLimits { most: 1024, of_one: 256, reserve: 64 };

/// Computations on a request's own bytes: schemas, parameters and long bodies. Each is bounded to a few seconds by the
/// size of what it reads.
fn checks() -> offload::Options {
    offload::Options {
        what: "checking the request",
        threads: threads(),
        threads_per_tenant: threads() / 2,
        waiting_per_tenant: 64,
        waiting: 1024,
        patience: Duration::from_secs(30),
        deadline: Duration::from_secs(30),
    }
}

/// Reading of a tenant's data for a request: planning a data set, searching results.
fn scans() -> offload::Options {
    offload::Options {
        what: "reading the data set",
        threads: threads(),
        threads_per_tenant: threads() / 2,
        waiting_per_tenant: 64,
        waiting: 1024,
        patience: Duration::from_secs(60),
        deadline: Duration::from_secs(300),
    }
}

/// Looking through a tenant's jobs, log lines and objects for a list.
fn searches() -> offload::Options {
    offload::Options { what: "searching", deadline: Duration::from_secs(60), ..checks() }
}

/// Threads of each kind: no more computations at once than there are processors, and room for two tenants at least.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16)
}

/// What handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The inside of [`App`].
pub struct Shared {
    /// What the wiring handed in.
    pub services: Services,
    driver: OnceLock<Driver>,
    /// The function registry.
    pub functions: Functions,
    /// The tokens.
    pub tokens: Tokens,
    /// Remembered answers.
    pub idempotency: Idempotency,
    /// Request metrics.
    pub http: HttpMetrics,
    /// What this process needs, as it was found last.
    pub health: Health,
    /// The same as metrics.
    pub dependencies: DependencyMetrics,
    /// Log lines about sign-ins, refusals and changes.
    pub(crate) access_log: AccessLog,
    /// Threads for computations on a request's own bytes.
    pub checks: Offload,
    /// Threads for reading a tenant's data on behalf of a request.
    pub scans: Offload,
    /// Threads for lists that look through all of a tenant's jobs, log lines or objects.
    pub searches: Offload,
    /// Room for streams that stay open.
    pub(crate) streams: Shares<TenantId>,
    /// Work that outlives its connection, awaited at shutdown.
    pub tasks: TaskTracker,
    /// Set when the server is about to stop and still answers.
    pub leaving: CancellationToken,
    /// Set when the server begins to stop.
    pub stopping: CancellationToken,
    /// Set when the grace period is over: whatever still runs is dropped.
    pub aborting: CancellationToken,
    /// The OpenAPI document, as served.
    pub openapi: bytes::Bytes,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Everything but the listener.
    #[must_use]
    pub fn new(services: Services, stopping: CancellationToken) -> Self {
        let (http, dependencies) = {
            let mut metrics = services.metrics.lock();
            metrics.register_collector(Box::new(ProcessMetrics));
            (HttpMetrics::register(&mut metrics), DependencyMetrics::register(&mut metrics))
        };
        let openapi = crate::openapi::document().to_json().unwrap_or_default().into();
        let checks = Offload::new(checks());
        let driver = services.driver.clone().map_or_else(OnceLock::new, OnceLock::from);
        Self(Arc::new(Shared {
            driver,
            functions: Functions::new(services.engine.clone(), checks.clone()),
            checks,
            scans: Offload::new(scans()),
            searches: Offload::new(searches()),
            tokens: Tokens::new(services.engine.clone()),
            idempotency: Idempotency::new(
                services.engine.clone(),
                services.peers.is_none(),
                services.store.accounts().clone(),
                services.keep_answers,
            ),
            http,
            health: Health::default(),
            dependencies,
            access_log: AccessLog::default(),
            streams: Shares::new(STREAMS),
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stopping,
            aborting: CancellationToken::new(),
            openapi,
            services,
        }))
    }

    /// From now on this process owns the jobs. It never gives them up while it lives.
    pub fn own(&self, driver: Driver) {
        let _ = self.driver.set(driver);
    }

    /// Whether this process owns the jobs.
    #[must_use]
    pub fn owns(&self) -> bool {
        self.driver.get().is_some()
    }

    /// Removes tokens that expired long ago, or counts them.
    ///
    /// # Errors
    /// Those of the registry.
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

    /// The jobs.
    ///
    /// # Errors
    /// `unavailable` while this process does not own them.
    pub fn driver(&self) -> Result<&Driver> {
        self.driver.get().ok_or_else(|| {
            Error::new(Code::Unavailable, "this process does not own the jobs").hint("try again in a moment")
        })
    }
}
