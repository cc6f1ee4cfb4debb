//! Wires the server's parts together.

mod data_folder;
mod fleet;
mod fleet_metrics;
mod jupyterhub;
mod name;
mod parts;
mod signals;

use crate::{
    args::CompileWorkerArgs, failure::Failure, log_file::LogFile, serve_args::ServeArgs, serve_config::ServeConfig,
    telemetry,
};
use fabric_embedded::Embedded;
use fabric_gateway::{check_listen, server::tls};
use fabric_types::{Code, Fault, id::NodeId};
use parts::{Door, Parts, Serving, Takes, listen, open_store};
use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

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

/// Runs a server until a signal.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let config = args.resolve(&fabric_client::settings::process_env)?;
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
    raise_file_limit();
    // Files that the server writes are for its user only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let log_file = config.log_file.as_ref().map(|file| LogFile {
        path: file.value.clone(),
        size: config.log_file_size.value.0,
        files: config.log_files.value,
    });
    if let Some(file) = &log_file {
        file.take()?;
    }
    runtime.block_on(async {
        // The task ends with the runtime.
        if let Some(file) = log_file {
            tokio::spawn(file.keep_bounded());
        }
        let spans = telemetry::start(config.log_format.value, config.otlp_endpoint.as_ref().map(|e| e.value.as_str()))?;
        let served = match &config.nats {
            None => alone(&config, tls).await,
            Some(nats) => fleet::run(&config, &nats.value, tls).await,
        };
        spans.end();
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
async fn alone(config: &ServeConfig, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), Failure> {
    let data = &config.data.value;
    // Binds the address before anything is started, because a port in use is a common mistake.
    let listener = listen(config).await?;
    let _taken = data_folder::take(data)?;
    let backend = Embedded::open(&data.join("state.db")).map_err(|e| fault(e.into()))?;
    let parts = Parts::new(config, backend, open_store(config)?, false)?;
    fabric_node::report_death(&parts.backend, data).await.map_err(fault)?;
    // The driver starts first, so that it receives the node's announcement.
    let driver = parts.driver(None).await?;
    let name = NodeId::new("local").map_err(|e| internal("naming the node", e))?;
    let node = parts.node(name, 0, Takes::Work(None)).await?;
    let door = Door { tls, listener, peers: None, dependencies: Vec::new(), for_clients: true };
    let serving = Serving::start(parts, Some(driver), node, config, door).await?;
    serving.signals().first().await;
    // Without a fleet, no other process can run its tasks: they continue after the next start. Only proxies in front
    // need time to notice the shutdown.
    if !config.shutdown.delay().is_zero() {
        serving.leave().await;
    }
    serving.stop().await;
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
fn write_address(data: &Path, url: &str) -> Result<(), Failure> {
    let (path, beside) = (data.join("server.json"), data.join("server.json.new"));
    let text = serde_json::json!({ "url": url, "pid": std::process::id() }).to_string();
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, &path))
        .map_err(|e| Failure::io(format!("writing `{}`", path.display()), e))
}

/// Compiles one module. The server starts it as a separate process.
pub fn compile_worker(_args: CompileWorkerArgs) -> ExitCode {
    ExitCode::from(fabric_host::compile_worker_main())
}

/// The command that runs this program as a GPU worker.
pub const GPU_WORKER: &str = "gpu-worker";

/// Owns a GPU. The server starts it as a separate process.
pub fn gpu_worker() -> ExitCode {
    ExitCode::from(fabric_host::gpu_worker_main())
}
