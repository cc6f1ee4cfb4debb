//! The parts of a server and how they start and stop, the same alone and in a fleet.

use super::{fault, internal, reachable, wait_for_signal, write_address};
use crate::{failure::Failure, serve_config::ServeConfig};
use fabric_driver::Driver;
use fabric_engine::Engine;
use fabric_gateway::{Gateway, Handle, Services, tokens};
use fabric_host::{Host, WorkerCommand};
use fabric_index::Index;
use fabric_node::{Metrics, Node, Offer};
use fabric_results::ResultStore;
use fabric_store::{Store, StoreOptions};
use fabric_types::{Fault, id::NodeId};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{path::Path, sync::Arc};
use tokio::net::TcpListener;

/// Makes the data folder, for this user only.
pub(super) fn make_folder(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Failure::io(format!("making the data folder `{}`", path.display()), e))
}

/// Takes the address.
pub(super) async fn listen(config: &ServeConfig) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(config.listen.value).await;
    listener.map_err(|e| Failure::io(format!("listening on {}", config.listen.value), e))
}

/// Opens the object store: what the configuration says, else a folder below the data.
pub(super) fn open_store(config: &ServeConfig) -> Result<Store, Failure> {
    let own = || config.data.value.join("objects").display().to_string();
    let location = config.store.as_ref().map_or_else(own, |s| s.value.clone());
    Store::open(&location, StoreOptions::default())
        .map_err(|e| fault(Fault { hint: e.hint(), ..Fault::new(e.code(), e.to_string()) }))
}

/// What every role stands on.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) index: Index,
    store: Store,
    results: ResultStore,
    host: Host,
    slots: u32,
    offer: Offer,
    scheduling: fabric_driver::Config,
    metrics: Metrics,
}

impl Parts {
    /// Opens the index and starts the sandbox.
    pub(super) fn new(config: &ServeConfig, engine: Engine, store: Store) -> Result<Self, Failure> {
        let data = &config.data.value;
        let index = Index::open(&data.join("index.db")).map_err(|e| internal("opening the index", e))?;
        let results = ResultStore::new(engine.results.clone(), store.clone());
        let metrics = Metrics::default();
        let program = std::env::current_exe().map_err(|e| Failure::io("finding this program", e))?;
        let worker = WorkerCommand { program, args: vec!["compile-worker".to_owned()] };
        let mut sandbox = fabric_host::Options::new(data.join("sandbox"), worker);
        sandbox.observer = Some(metrics.observer());
        let host = Host::start(sandbox).map_err(|e| internal("starting the sandbox", e))?;
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let slots = config.slots.as_ref().map_or(cores, |s| s.value);
        let scheduling =
            fabric_driver::Config { weights: config.placement.weights(), ..fabric_driver::Config::default() };
        let offer = config.offer();
        Ok(Self { engine, index, store, results, host, slots, offer, scheduling, metrics })
    }

    /// Starts the owner of jobs. With `rebuild` others have owned them since this index was written.
    pub(super) async fn driver(&self, rebuild: bool) -> Result<Driver, Failure> {
        let host = self.host.clone();
        let options = fabric_driver::Options {
            engine: self.engine.clone(),
            store: self.store.clone(),
            results: self.results.clone(),
            index: self.index.clone(),
            fingerprint: Arc::new(move |pure| host.fingerprint(pure).to_owned()),
            config: self.scheduling.clone(),
            rebuild,
        };
        Driver::start(options).await.map_err(fault)
    }

    /// Starts the node.
    pub(super) async fn node(&self, id: NodeId) -> Result<Node, Failure> {
        let options = fabric_node::Options {
            id,
            slots: self.slots,
            offer: self.offer.clone(),
            engine: self.engine.clone(),
            store: self.store.clone(),
            results: self.results.clone(),
            index: self.index.clone(),
            host: self.host.clone(),
            metrics: self.metrics.clone(),
        };
        Node::start(options).await.map_err(fault)
    }
}

/// A server that owns jobs, runs guests and answers clients.
pub(super) struct Serving<'a> {
    parts: Parts,
    driver: Driver,
    node: Node,
    handle: Handle,
    data: &'a Path,
}

impl<'a> Serving<'a> {
    /// Starts to answer.
    pub(super) async fn start(
        parts: Parts,
        driver: Driver,
        node: Node,
        config: &'a ServeConfig,
        tls: Option<Arc<rustls::ServerConfig>>,
        listener: TcpListener,
    ) -> Result<Self, Failure> {
        let data = config.data.value.as_path();
        let mut metrics = Registry::default();
        parts.metrics.register(&mut metrics);
        driver.metrics().register(&mut metrics);
        let services = Services {
            engine: parts.engine.clone(),
            store: parts.store.clone(),
            index: parts.index.clone(),
            driver: driver.clone(),
            node: node.clone(),
            results: parts.results.clone(),
            metrics: Arc::new(Mutex::new(metrics)),
            data_dir: data.to_owned(),
        };
        let gateway = Gateway::new(services);
        tokens::ensure_admin_token(gateway.tokens(), data)
            .await
            .map_err(|e| Failure::coded(e.code(), e.to_string()))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let options = fabric_gateway::Options { tls, ..fabric_gateway::Options::default() };
        let handle = gateway.serve(options, listener).map_err(|e| Failure::io("serving", e))?;
        let url = format!("{scheme}://{}", reachable(handle.addr));
        write_address(data, &url)?;
        tracing::info!(%url, data = %data.display(), slots = parts.slots, "ready");
        Ok(Self { parts, driver, node, handle, data })
    }

    /// Lets what is under way end; a second signal stops at once.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        tracing::info!("stopping; a second signal stops at once");
        let stop = async {
            self.handle.stop().await;
            self.driver.shutdown().await;
            self.node.shutdown().await;
            if let Err(error) = self.parts.index.flush().await {
                tracing::warn!(%error, "the index was not flushed");
            }
        };
        tokio::select! {
            () = stop => {}
            again = wait_for_signal() => again?,
        }
        // Only a server that runs has an address.
        let _ = std::fs::remove_file(self.data.join("server.json"));
        Ok(())
    }
}
