//! Wires the server's parts together. Nothing else in this binary knows them.

use crate::{
    args::CompileWorkerArgs,
    failure::Failure,
    serve_config::{Role, ServeArgs, ServeConfig},
    telemetry,
};
use fabric_driver::Driver;
use fabric_engine::embedded::Embedded;
use fabric_gateway::{Gateway, Services, check_listen, server::tls, tokens};
use fabric_host::{Host, WorkerCommand};
use fabric_index::Index;
use fabric_node::{Metrics, Node};
use fabric_results::ResultStore;
use fabric_store::{Store, StoreOptions};
use fabric_types::{Code, Fault, id::NodeId};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::ExitCode, sync::Arc};
use tokio::net::TcpListener;

fn fault(error: Fault) -> Failure {
    let failure = Failure::coded(error.code, error.message);
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn internal(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::coded(Code::Internal, format!("{what}: {error}"))
}

/// Runs a server until it is told to stop.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let config = args.resolve(&fabric_client::settings::process_env)?;
    if config.role.value != [Role::All] {
        return Err(Failure::config("this version runs all roles in one process")
            .hint("leave --role out; separate roles come with the fleet"));
    }
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            Some(tls::load(&cert.value, &key.value).map_err(|e| Failure::config(e.to_string()))?)
        }
        _ => None,
    };
    check_listen(config.listen.value, tls.is_some(), true, config.insecure_listen.value)
        .map_err(|e| Failure::config(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("fabric-io")
        .build()
        .map_err(|e| Failure::io("starting the runtime", e))?;
    runtime.block_on(async {
        let spans = telemetry::start(config.log_format.value, config.otlp_endpoint.as_ref().map(|e| e.value.as_str()))?;
        let served = serve(&config, tls).await;
        spans.end();
        served
    })
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Failure::io(format!("making the data folder `{}`", path.display()), e))
}

/// The parts that stop in order.
struct Parts {
    services: Services,
    slots: u32,
}

async fn parts(config: &ServeConfig) -> Result<Parts, Failure> {
    let data = &config.data.value;
    make_folder(data)?;
    let engine = Embedded::open(&data.join("state.db")).map_err(|e| fault(e.into()))?;
    let index = Index::open(&data.join("index.db")).map_err(|e| internal("opening the index", e))?;
    let location =
        config.store.as_ref().map_or_else(|| data.join("objects").display().to_string(), |s| s.value.clone());
    let store = Store::open(&location, StoreOptions::default())
        .map_err(|e| fault(Fault { hint: e.hint(), ..Fault::new(e.code(), e.to_string()) }))?;
    let results = ResultStore::new(engine.results.clone(), store.clone());
    let node_metrics = Metrics::default();
    let program = std::env::current_exe().map_err(|e| Failure::io("finding this program", e))?;
    let worker = WorkerCommand { program, args: vec!["compile-worker".to_owned()] };
    let mut sandbox = fabric_host::Options::new(data.join("sandbox"), worker);
    sandbox.observer = Some(node_metrics.observer());
    let host = Host::start(sandbox).map_err(|e| internal("starting the sandbox", e))?;
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let slots = config.slots.as_ref().map_or(cores, |s| s.value);
    // The driver first: it must hear the node come.
    let driver = Driver::start(fabric_driver::Options {
        engine: engine.clone(),
        store: store.clone(),
        results: results.clone(),
        index: index.clone(),
        fingerprint: Arc::new({
            let host = host.clone();
            move |pure| host.fingerprint(pure).to_owned()
        }),
    })
    .await
    .map_err(fault)?;
    let node = Node::start(fabric_node::Options {
        id: NodeId::new("local").map_err(|e| internal("naming the node", e))?,
        slots,
        labels: BTreeMap::new(),
        engine: engine.clone(),
        store: store.clone(),
        results: results.clone(),
        index: index.clone(),
        host,
        metrics: node_metrics.clone(),
    })
    .await
    .map_err(fault)?;
    let mut metrics = Registry::default();
    node_metrics.register(&mut metrics);
    driver.metrics().register(&mut metrics);
    let metrics = Arc::new(Mutex::new(metrics));
    let services = Services { engine, store, index, driver, node, results, metrics, data_dir: data.clone() };
    Ok(Parts { services, slots })
}

async fn serve(config: &ServeConfig, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), Failure> {
    let data = &config.data.value;
    // The address first: a port that is taken is a common mistake, and nothing has been started yet.
    let listener = TcpListener::bind(config.listen.value)
        .await
        .map_err(|e| Failure::io(format!("listening on {}", config.listen.value), e))?;
    let Parts { services, slots } = parts(config).await?;
    let gateway = Gateway::new(services.clone());
    tokens::ensure_admin_token(gateway.tokens(), data).await.map_err(|e| Failure::coded(e.code(), e.to_string()))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let options = fabric_gateway::Options { tls, ..fabric_gateway::Options::default() };
    let handle = gateway.serve(options, listener).map_err(|e| Failure::io("serving", e))?;
    let url = format!("{scheme}://{}", reachable(handle.addr));
    write_address(data, &url)?;
    tracing::info!(%url, data = %data.display(), slots, "ready");
    wait_for_signal().await?;
    tracing::info!("stopping; a second signal stops at once");
    let stop = async {
        handle.stop().await;
        services.driver.shutdown().await;
        services.node.shutdown().await;
        if let Err(error) = services.index.flush().await {
            tracing::warn!(%error, "the index was not flushed");
        }
    };
    tokio::select! {
        () = stop => {}
        again = wait_for_signal() => again?,
    }
    // Only a server that runs has an address.
    let _ = std::fs::remove_file(data.join("server.json"));
    Ok(())
}

/// An address that a client on this machine can use.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let mut addr = addr;
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

/// Tells clients on this machine where the server is; by rename, so that none reads half of it.
fn write_address(data: &Path, url: &str) -> Result<(), Failure> {
    let (path, beside) = (data.join("server.json"), data.join("server.json.new"));
    let text = serde_json::json!({ "url": url, "pid": std::process::id() }).to_string();
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, &path))
        .map_err(|e| Failure::io(format!("writing `{}`", path.display()), e))
}

async fn wait_for_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::io("waiting for signals", e))?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.map_err(|e| Failure::io("waiting for signals", e)),
    }
}

/// Compiles one module; the server starts it as a process of its own.
pub fn compile_worker(_args: CompileWorkerArgs) -> ExitCode {
    ExitCode::from(fabric_host::compile_worker_main())
}
