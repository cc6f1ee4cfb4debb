//! One process of a fleet. Every process may run guests; one at a time, the holder of the lease, owns all jobs and answers
//! for them; a gateway that does not own them passes requests on to the one that does.
//!
//! The lease is in the object store, and so is everything the owner writes, each write under a condition: an owner that was
//! frozen past its lease can write nothing. It finds out when it renews, and ends with an error, for its supervisor to start
//! it again.

use super::{
    fault, internal,
    parts::{Parts, Serving, listen, make_folder, open_store},
    reachable, wait_for_signal, write_address,
};
use crate::{
    failure::Failure,
    serve_config::{Role, ServeConfig},
};
use bytes::Bytes;
use fabric_engine::{Engine, lease::Lease, registry::Expect};
use fabric_fleet::{Fleet, FleetOptions, Login, Tls};
use fabric_gateway::{Owner, Relay, tokens};
use fabric_node::Node;
use fabric_types::{Code, id::NodeId};
use futures::StreamExt as _;
use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, interval, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a node that is told to end waits for its attempts: less than the 30 s that Kubernetes gives.
const DRAIN: Duration = Duration::from_secs(20);
/// The lease on all jobs.
const LEASE: &str = "jobs";
/// How long it lasts without a renewal.
const LEASE_TTL: Duration = Duration::from_secs(9);
/// How often it is renewed, and how often others look whether it is free.
const LEASE_EVERY: Duration = Duration::from_secs(2);
/// Where the owner's address is.
const OWNER_KEY: &str = "sys/owner";
/// How often the owner's address is looked up; changes come by themselves, and sooner.
const OWNER_EVERY: Duration = Duration::from_secs(2);

/// Keeps a second process out of the data folder.
fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Failure::io(path.display(), e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::config(format!("`{}` is in use by another `fabric serve`", data.display()))
                .hint("give each process of the fleet a data folder of its own: --data DIR"))
        }
        Err(TryLockError::Error(e)) => Err(Failure::io(path.display(), e)),
    }
}

/// The process's name in the fleet: what was asked for, else one that is made once and kept in the data folder.
fn name(config: &ServeConfig) -> Result<NodeId, Failure> {
    if let Some(name) = &config.name {
        return NodeId::new(&name.value).map_err(|e| Failure::config(format!("name, from {}: {e}", name.origin)));
    }
    let path = config.data.value.join("name");
    if let Ok(kept) = std::fs::read_to_string(&path) {
        return NodeId::new(kept.trim()).map_err(|e| Failure::config(format!("{}: {e}", path.display())));
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| internal("making a name", e))?;
    let name =
        NodeId::new(format!("n-{:08x}", u32::from_be_bytes(random))).map_err(|e| internal("making a name", e))?;
    std::fs::write(&path, name.as_str()).map_err(|e| Failure::io(path.display(), e))?;
    Ok(name)
}

async fn open(config: &ServeConfig, nats: &str, name: &NodeId) -> Result<(Fleet, fabric_store::Store), Failure> {
    let store = open_store(config)?;
    let (objects, root) = store.object_store();
    let mut options = FleetOptions::new(objects, root, nats.split(',').map(|url| url.trim().to_owned()).collect());
    options.client = name.to_string();
    if let Some(file) = &config.nats_creds {
        options.login = Login::Credentials(file.value.clone());
    }
    if let Some(ca) = &config.nats_ca {
        options.tls = Tls { required: true, ca: Some(ca.value.clone()), client: None };
    }
    let fleet = Fleet::open(options).await.map_err(|e| {
        // The cause has the hint.
        let why = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
        Failure::coded(e.code(), format!("joining the fleet: {e}: {why}"))
    })?;
    Ok((fleet, store))
}

/// Runs until a signal, or until another process owns the jobs that this one owned.
pub(super) async fn run(
    config: &ServeConfig,
    nats: &str,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<(), Failure> {
    let data = &config.data.value;
    let has = |role| config.role.value.contains(&Role::All) || config.role.value.contains(&role);
    let listener = if has(Role::Gateway) { Some(listen(config).await?) } else { None };
    make_folder(data)?;
    let _lock = lock(data)?;
    let name = name(config)?;
    let (fleet, store) = open(config, nats, &name).await?;
    let parts = Parts::new(config, fleet.engine, store)?;
    let node = if has(Role::Node) { Some(parts.node(name.clone()).await?) } else { None };
    let ended = match (listener, &node) {
        (Some(listener), Some(node)) if has(Role::Scheduler) => {
            contend(config, parts, node.clone(), &name, tls, listener).await
        }
        (Some(listener), _) => relay_only(config, &parts.engine, tls, listener).await,
        (None, _) => {
            tracing::info!(%name, "ready to run guests");
            wait_for_signal().await
        }
    };
    if let Some(node) = node {
        if ended.is_ok() {
            leave(&node).await?;
        }
        node.shutdown().await;
    }
    ended
}

/// Lets what the node was given end; a second signal leaves at once.
async fn leave(node: &Node) -> Result<(), Failure> {
    tokio::select! {
        () = node.drain(DRAIN) => Ok(()),
        signal = wait_for_signal() => signal,
    }
}

/// The owner's address as it changes.
fn owner(engine: &Engine) -> (Owner, DropGuard) {
    let (tell, told) = watch::channel(None);
    let stop = CancellationToken::new();
    let (registry, stopped) = (engine.registry.clone(), stop.clone());
    let mut changes = registry.watch(OWNER_KEY);
    let look = async move {
        let mut every = interval(OWNER_EVERY);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                change = changes.next() => if change.is_none() { return },
            }
            if let Ok(entry) = registry.get(OWNER_KEY).await {
                let url = entry.and_then(|e| String::from_utf8(e.value.to_vec()).ok());
                tell.send_if_modified(|now| std::mem::replace(now, url.clone()) != url);
            }
        }
    };
    tokio::spawn(async move { stopped.run_until_cancelled(look).await });
    (told, stop.drop_guard())
}

/// Passes requests on.
async fn relay(
    config: &ServeConfig,
    engine: &Engine,
    owner: Owner,
    tls: Option<Arc<rustls::ServerConfig>>,
    listener: TcpListener,
    grace: Duration,
) -> Result<Relay, Failure> {
    let data = config.data.value.as_path();
    let url = address(&listener, tls.is_some())?;
    let tokens = tokens::Tokens::new(engine.clone());
    tokens::ensure_admin_token(&tokens, data).await.map_err(|e| Failure::coded(e.code(), e.to_string()))?;
    let options = fabric_gateway::Options { tls, grace, ..fabric_gateway::Options::default() };
    let relay = Relay::serve(options, listener, owner).map_err(|e| internal("passing requests on", e))?;
    write_address(data, &url)?;
    tracing::info!(%url, "ready, passing requests on to the owner of the jobs");
    Ok(relay)
}

fn address(listener: &TcpListener, tls: bool) -> Result<String, Failure> {
    let addr = listener.local_addr().map_err(|e| Failure::io("listening", e))?;
    Ok(format!("{}://{}", if tls { "https" } else { "http" }, reachable(addr)))
}

async fn relay_only(
    config: &ServeConfig,
    engine: &Engine,
    tls: Option<Arc<rustls::ServerConfig>>,
    listener: TcpListener,
) -> Result<(), Failure> {
    let (owner, _looking) = owner(engine);
    let relay = relay(config, engine, owner, tls, listener, fabric_gateway::Options::default().grace).await?;
    wait_for_signal().await?;
    relay.stop().await;
    let _ = std::fs::remove_file(config.data.value.join("server.json"));
    Ok(())
}

/// Passes requests on until the lease is free, then owns the jobs until a signal or the loss of the lease.
async fn contend(
    config: &ServeConfig,
    parts: Parts,
    node: Node,
    name: &NodeId,
    tls: Option<Arc<rustls::ServerConfig>>,
    listener: TcpListener,
) -> Result<(), Failure> {
    // The address stays taken while one server hands it to the other: connections wait, none is refused.
    let listener = listener.into_std().map_err(|e| Failure::io("listening", e))?;
    let again = || {
        let copy = listener.try_clone().and_then(TcpListener::from_std);
        copy.map_err(|e| Failure::io("listening", e))
    };
    let url = config.advertise.as_ref().map_or_else(|| address(&again()?, tls.is_some()), |a| Ok(a.value.clone()))?;
    let (owner, looking) = owner(&parts.engine);
    let relay = relay(config, &parts.engine, owner, tls.clone(), again()?, Duration::from_secs(2)).await?;
    let lease = tokio::select! {
        lease = win(&parts.engine, name) => lease,
        signal = wait_for_signal() => {
            relay.stop().await;
            return signal;
        }
    };
    tracing::info!(%name, epoch = lease.epoch, "owner of the jobs");
    let (lost, renewing) = renew(&parts.engine, lease.clone());
    drop(looking);
    relay.stop().await;
    let engine = parts.engine.clone();
    let listener = again()?;
    let drained = node.clone();
    let start = async {
        let driver = parts.driver(true).await?;
        let put = parts.engine.registry.put(OWNER_KEY, Bytes::from(url), Expect::Any).await;
        put.map_err(|e| fault(e.into()))?;
        Serving::start(parts, driver, node, config, tls, listener).await
    };
    // Reading every journal takes a while; whoever wants it to stop need not wait for that.
    let serving = tokio::select! {
        serving = start => serving?,
        signal = wait_for_signal() => return signal,
    };
    tokio::select! {
        signal = wait_for_signal() => {
            signal?;
            // While it still owns the jobs, so that they go on elsewhere at once.
            leave(&drained).await?;
            serving.stop().await?;
            drop(renewing);
            if let Err(error) = engine.leases.release(&lease).await {
                tracing::warn!(%error, "the lease on the jobs was not given up");
            }
            Ok(())
        }
        () = lost.cancelled() => Err(Failure::coded(Code::Unavailable, "another process owns the jobs now")
            .hint("this one was frozen or cut off for longer than its lease; start it again")),
    }
}

/// Waits until the lease is this process's.
async fn win(engine: &Engine, name: &NodeId) -> Lease {
    loop {
        match engine.leases.acquire(LEASE, name.as_str(), LEASE_TTL).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "can't look at the lease on the jobs"),
        }
        // A turn's length, so that its end is seen soon and the store is asked seldom.
        sleep(LEASE_EVERY).await;
    }
}

/// Renews until the guard is dropped; the token is cancelled once the lease may be another's.
fn renew(engine: &Engine, lease: Lease) -> (CancellationToken, DropGuard) {
    let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
    let (leases, tell, stopped) = (engine.leases.clone(), lost.clone(), stop.clone());
    let renew = async move {
        let mut every = interval(LEASE_EVERY);
        let mut held = Instant::now();
        loop {
            every.tick().await;
            let begun = Instant::now();
            match leases.renew(&lease, LEASE_TTL).await {
                Ok(()) => held = begun,
                Err(fabric_engine::Error::LeaseLost { .. }) => break,
                Err(error) => tracing::warn!(%error, "the lease on the jobs was not renewed"),
            }
            if held.elapsed() > LEASE_TTL {
                break;
            }
        }
        tell.cancel();
    };
    tokio::spawn(async move { stopped.run_until_cancelled(renew).await });
    (lost, stop.drop_guard())
}
