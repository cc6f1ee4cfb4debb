//! A server process: wires the components together and runs them until a signal.

mod components;
mod data_folder;
mod fleet;
mod fleet_metrics;
mod jupyterhub;
mod name;
mod python_runner;
mod running;
mod signals;

use crate::{
    Error,
    background::BackgroundTask,
    settings::{ServeArgs, ServeConfig},
    telemetry,
};
use components::{NodeWork, ServerComponents, open_store};
use fabric_embedded::Embedded;
use fabric_gateway::{check_listen, server::tls};
use fabric_types::id::NodeId;
use running::{ListenerConfig, RunningServer, listen};
use std::{net::SocketAddr, path::Path, sync::Arc};

/// Runs a server until a signal. Creates its own runtime.
///
/// # Errors
/// An invalid setting; a resource that another process has; the loss of the process's name or of the lease on the jobs.
pub fn run(args: &ServeArgs) -> Result<(), Error> {
    let config = args.resolve(&fabric_client::settings::process_env)?;
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(tls::load(&cert.value, &key.value).map_err(|e| Error::config(e.to_string()))?),
        _ => None,
    };
    check_listen(config.listen.value, tls.is_some(), true, config.insecure_listen.value)
        .map_err(|e| Error::config(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("fabric-io")
        .build()
        .map_err(|e| Error::io("starting the runtime", e))?;
    raise_file_limit();
    // Files that the server writes are for its user only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let log_file = config.log_file();
    if let Some(file) = &log_file {
        file.redirect_output()?;
    }
    runtime.block_on(async {
        let rotation = log_file.map(|file| BackgroundTask::spawn(file.rotate_when_full()));
        let spans = telemetry::start(config.log_format.value, config.otlp_endpoint.as_ref().map(|e| e.value.as_str()))?;
        let served = match &config.nats {
            None => run_alone(&config, tls).await,
            Some(nats) => Box::pin(fleet::run(&config, &nats.value, tls)).await,
        };
        spans.end();
        if let Some(rotation) = rotation {
            rotation.stop().await;
        }
        served
    })
}

/// Raises the limit of file descriptors to the hard limit, because the usual 1,024 are fewer than the connections.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it fails, the accept loop closes idle connections instead.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Runs a server without a fleet until a signal.
async fn run_alone(config: &ServeConfig, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), Error> {
    let data = &config.data.value;
    // Binds the address before anything is started, because a port in use is a common mistake.
    let listener = listen(config).await?;
    let _lock = data_folder::acquire(data)?;
    let backend = Embedded::open(&data.join("state.db"))?;
    let components = ServerComponents::new(config, backend, open_store(config)?)?;
    fabric_node::report_death(&components.backend, data).await?;
    // The driver starts first, so that it receives the node's announcement.
    let driver = components.driver(None).await?;
    let name = NodeId::new("local").map_err(|e| Error::internal("naming the node", e))?;
    let node = components.node(name, 0, NodeWork::Work(None)).await?;
    let listener = ListenerConfig { tls, listener, peers: None, dependencies: Vec::new(), for_clients: true };
    let server = RunningServer::start(components, Some(driver), node, config, listener).await?;
    server.signals().first().await;
    // Without a fleet, no other process can run its tasks: they continue after the next start. Only proxies in front
    // need time to notice the shutdown.
    if !config.shutdown_times().delay.is_zero() {
        server.leave().await;
    }
    server.stop().await;
    Ok(())
}

/// Returns an address that a client on this machine can use.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let mut addr = addr;
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

/// Writes the server's address for clients on this machine. By rename, so that a reader never sees a partial file.
fn write_address(data: &Path, url: &str) -> Result<(), Error> {
    let (path, beside) = (data.join("server.json"), data.join("server.json.new"));
    let text = serde_json::json!({ "url": url, "pid": std::process::id() }).to_string();
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, &path))
        .map_err(|e| Error::io(format!("writing `{}`", path.display()), e))
}
