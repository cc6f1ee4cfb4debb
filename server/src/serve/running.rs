//! A running server: its listener, its start and its stop.

use super::{components::ServerComponents, jupyterhub, python_runner, reachable, signals::Signals, write_address};
use crate::{
    Error,
    background::BackgroundTask,
    settings::{ServeConfig, ShutdownTimes},
};
use fabric_driver::Driver;
use fabric_gateway::{Gateway, Handle, Peers, Services, health::Dependency, tokens};
use fabric_node::NodeHandle;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{path::Path, sync::Arc};
use tokio::net::TcpListener;

/// Binds the listener.
pub(super) async fn listen(config: &ServeConfig) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(config.listen.value).await;
    listener.map_err(|e| Error::listening(config.listen.value, e))
}

/// A running server: it answers clients, runs guests and owns jobs, or does some of these.
pub(super) struct RunningServer<'a> {
    components: ServerComponents,
    driver: Option<Driver>,
    node: NodeHandle,
    handle: Handle,
    metrics: Arc<Mutex<Registry>>,
    data: &'a Path,
    shutdown: ShutdownTimes,
    signals: Signals,
    _orderly: OrderlyShutdownGuard,
    _compiling: Option<BackgroundTask>,
}

/// On drop, records that the process ends in an orderly way, so that running tasks are not counted as the cause of a
/// death.
struct OrderlyShutdownGuard(NodeHandle);

impl Drop for OrderlyShutdownGuard {
    fn drop(&mut self) {
        self.0.ends_in_order();
    }
}

/// The listener of a server and the options of its connections.
pub(super) struct ListenerConfig {
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) listener: TcpListener,
    /// The other processes of a fleet.
    pub(super) peers: Option<Arc<Peers>>,
    /// Dependencies of the process other than disk and store.
    pub(super) dependencies: Vec<Arc<dyn Dependency>>,
    /// True if clients connect here; they find the address and a token in the data folder.
    pub(super) for_clients: bool,
}

impl<'a> RunningServer<'a> {
    /// Starts the gateway.
    pub(super) async fn start(
        components: ServerComponents,
        driver: Option<Driver>,
        node: NodeHandle,
        config: &'a ServeConfig,
        listener: ListenerConfig,
    ) -> Result<Self, Error> {
        let data = config.data.value.as_path();
        let ListenerConfig { tls, listener, peers, dependencies, for_clients } = listener;
        let mut metrics = Registry::default();
        components.metrics.register(&mut metrics);
        if let Some(driver) = &driver {
            driver.metrics().register(&mut metrics);
        }
        let metrics = Arc::new(Mutex::new(metrics));
        let python_runner = python_runner::open(config)?;
        let services = Services {
            backend: components.backend.clone(),
            store: components.store.clone(),
            index: components.index.clone(),
            driver: driver.clone(),
            node: node.clone(),
            results: components.results.clone(),
            peers,
            dependencies,
            jupyterhub: jupyterhub::open(config)?,
            metrics: metrics.clone(),
            python_runner: python_runner.clone(),
            data_dir: data.to_owned(),
            prices: config.prices.value.clone(),
            keep_answers: config.storage.value.keep_answers(),
            keep_tokens: config.storage.value.keep_tokens(),
            sweep_every: config.storage.value.sweep_every(),
        };
        let gateway = Gateway::new(services);
        if for_clients {
            let machine = rustix::system::uname();
            let process = format!("process {} on {}", node.id(), machine.nodename().to_string_lossy());
            let token = tokens::ensure_admin_token(gateway.tokens(), data, &process).await;
            token.map_err(|e| Error::coded(e.code(), e.to_string()))?;
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let options = fabric_gateway::Options { tls, ..config.gateway_options() };
        let handle = gateway.serve(options, listener).map_err(|e| Error::io("serving", e))?;
        let url = format!("{scheme}://{}", reachable(handle.addr));
        // Before any other process can find this one and send it a signal.
        let signals = Signals::listen()?;
        if for_clients {
            write_address(data, &url)?;
        }
        tracing::info!(%url, data = %data.display(), slots = node.room().slots, "ready");
        let compiling = python_runner.map(|runner| python_runner::compile(runner, components.host.clone()));
        let orderly = OrderlyShutdownGuard(node.clone());
        let shutdown = config.shutdown_times();
        Ok(Self {
            components,
            driver,
            node,
            handle,
            metrics,
            data,
            shutdown,
            signals,
            _orderly: orderly,
            _compiling: compiling,
        })
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
        let ShutdownTimes { delay, drain, .. } = self.shutdown;
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
            self.components.host.gpu().shutdown().await;
            if let Err(error) = self.components.index.flush().await {
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
