//! What the gateway stands on, and what its handlers share.

use crate::{functions::Functions, idempotency::Idempotency, metrics::HttpMetrics, tokens::Tokens};
use fabric_driver::Driver;
use fabric_engine::Engine;
use fabric_index::Index;
use fabric_node::Node;
use fabric_results::ResultStore;
use fabric_store::Store;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Semaphore;
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
    /// Jobs.
    pub driver: Driver,
    /// Synchronous calls and uploads.
    pub node: Node,
    /// Committed results.
    pub results: ResultStore,
    /// Where node, driver and host registered their metrics; the gateway adds its own.
    pub metrics: Arc<Mutex<Registry>>,
    /// The server's folder.
    pub data_dir: PathBuf,
}

/// Open event streams and log followers at once.
const MAX_STREAMS: usize = 1024;

/// What handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The inside of [`App`].
pub struct Shared {
    /// What the wiring handed in.
    pub services: Services,
    /// The function registry.
    pub functions: Functions,
    /// The tokens.
    pub tokens: Tokens,
    /// Remembered answers.
    pub idempotency: Idempotency,
    /// Request metrics.
    pub http: HttpMetrics,
    /// Room for streams that stay open.
    pub streams: Arc<Semaphore>,
    /// Work that outlives its connection, awaited at shutdown.
    pub tasks: TaskTracker,
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
        let http = HttpMetrics::register(&mut services.metrics.lock());
        let openapi = crate::openapi::document().to_json().unwrap_or_default().into();
        Self(Arc::new(Shared {
            functions: Functions::new(services.engine.clone()),
            tokens: Tokens::new(services.engine.clone()),
            idempotency: Idempotency::new(services.engine.clone()),
            http,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            tasks: TaskTracker::new(),
            stopping,
            aborting: CancellationToken::new(),
            openapi,
            services,
        }))
    }
}
