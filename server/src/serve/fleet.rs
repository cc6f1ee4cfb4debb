//! A process of a fleet. Its roles decide if it answers clients, runs guests, and may own jobs. One scheduler at a
//! time, the holder of the lease, owns all jobs. The others forward requests about jobs to it.
//!
//! The lease is in the object store, and so is everything that the owner writes, each write under a condition, so an
//! owner that was frozen past its lease can write nothing. It detects the loss when it renews the lease, and exits with
//! an error for its supervisor to restart it.

use super::{
    components::{NodeWork, ServerComponents, open_store},
    data_folder,
    fleet_metrics::{FleetMetrics, LeaseAges, Nats},
    name::{self, Holder, Name},
    reachable,
    running::{ListenerConfig, RunningServer, listen},
    signals::Signals,
};
use crate::{
    Error,
    background::BackgroundTask,
    settings::{ServeConfig, choices::RoleSet},
};
use bytes::Bytes;
use fabric_backend::{Backend, lease::Lease, registry::Precondition};
use fabric_client::settings::{Origin, Setting};
use fabric_fleet::{Fleet, FleetOptions, Login, Tls};
use fabric_gateway::{
    JobsOwnerAddress, Peers,
    peers::{OWNER_WAIT, Options as PeerOptions},
};
use fabric_node::NodeHandle;
use fabric_types::{Code, id::NodeId};
use futures::StreamExt as _;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;

/// Name of the lease on all jobs.
const LEASE: &str = "jobs";
/// Registry key of the owner's address.
const OWNER_KEY: &str = "sys/owner";
/// Interval between reads of the owner's address. Changes arrive earlier, through a watch.
const OWNER_EVERY: Duration = Duration::from_secs(2);

/// Returns the interval at which a holder renews a lease of this duration, and others try to acquire it.
fn renewal_interval(ttl: Duration) -> Duration {
    ttl / 4
}

async fn open(config: &ServeConfig, nats: &str, name: &NodeId) -> Result<(Fleet, fabric_store::Store), Error> {
    let store = open_store(config)?;
    let (objects, root) = store.object_store();
    let mut options = FleetOptions::new(objects, root, nats.split(',').map(|url| url.trim().to_owned()).collect());
    options.client = name.to_string();
    if let Some(file) = &config.nats_creds {
        options.login = Login::Credentials(file.value.clone());
    }
    if let Some(file) = &config.nats_nkey {
        let seed = std::fs::read_to_string(&file.value).map_err(|e| Error::io(file.value.display(), e))?;
        options.login = Login::Nkey(seed.trim().to_owned());
    }
    let client = match (&config.nats_cert, &config.nats_key) {
        (Some(cert), Some(key)) => Some((cert.value.clone(), key.value.clone())),
        _ => None,
    };
    if config.nats_ca.is_some() || client.is_some() {
        options.tls = Tls { required: true, ca: config.nats_ca.as_ref().map(|ca| ca.value.clone()), client };
    }
    let fleet = Fleet::open(options).await.map_err(|e| {
        // The source of the error has the hint.
        let why = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
        let message = format!("joining the fleet: {e}: {why}");
        match e {
            fabric_backend::Error::Setting { .. } => Error::config(message),
            _ => Error::coded(e.code(), message),
        }
    })?;
    Ok((fleet, store))
}

/// Binds the listener. A process that only runs guests announces its address, so by default it uses any free port.
async fn bind(config: &ServeConfig, roles: RoleSet) -> Result<TcpListener, Error> {
    if !roles.serves_clients() && config.listen.origin == Origin::Default {
        let any = (std::net::Ipv4Addr::LOCALHOST, 0);
        return TcpListener::bind(any).await.map_err(|e| Error::listening(any.into(), e));
    }
    listen(config).await
}

/// Runs until a signal, or until another process owns the jobs that this one owned.
pub(super) async fn run(config: &ServeConfig, nats: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), Error> {
    let data = &config.data.value;
    let roles = config.role.value;
    let listener = bind(config, roles).await?;
    let url = match &config.advertise {
        Some(url) => url.value.trim_end_matches('/').to_owned(),
        None => address(&listener, tls.is_some())?,
    };
    let lock = data_folder::acquire(data)?;
    let id = name::resolve_name(config)?;
    let (fleet, store) = open(config, nats, &id).await?;
    let backend = fleet.backend.clone();
    let health = fleet.health.clone();
    // Acquired before anything is published under this name.
    let ages = LeaseAges::default();
    let name = Name::acquire(&backend, &id, &Holder::new(&url, data, &lock)?, &ages).await?;
    let components = ServerComponents::new(config, fleet.backend, store)?;
    fabric_node::report_death(&backend, data).await?;
    let work = if roles.node { NodeWork::Work(Some(url.clone())) } else { NodeWork::Nothing };
    let node = components.node(id.clone(), name.epoch(), work).await?;
    let (owner, following) = follow_owner(&backend, Duration::from_secs(config.job_lease.value));
    let peers = peers(config, &id, owner, roles)?;
    let listener = ListenerConfig {
        tls,
        listener,
        peers: Some(peers),
        dependencies: vec![Arc::new(Nats(health.clone()))],
        for_clients: roles.serves_clients(),
    };
    let server = RunningServer::start(components.clone(), None, node, config, listener).await?;
    server.observe(FleetMetrics { health, ages: ages.clone() });
    tracing::info!(name = %id, %url, "in the fleet");
    if roles.scheduler {
        run_scheduler(config, components, server, &name, &url, &ages).await?;
    } else {
        wait_until_end(&name, server.node(), server.signals()).await?;
        server.leave().await;
        server.stop().await;
    }
    following.stop().await;
    name.release().await;
    Ok(())
}

/// Waits until the process must end: `Ok` after a signal, an error if another process has taken its name or its lane.
async fn wait_until_end(name: &Name, node: &NodeHandle, signals: &Signals) -> Result<(), Error> {
    tokio::select! {
        () = signals.first() => Ok(()),
        failure = name.lost() => Err(failure),
        () = node.lane_closed() => {
            let message = format!("no work reaches the node {} any more: another process opened its lane", name.id());
            Err(Error::coded(Code::Conflict, message)
                .hint("stop the other process of this name; this one can be started again"))
        }
    }
}

fn peers(config: &ServeConfig, name: &NodeId, owner: JobsOwnerAddress, roles: RoleSet) -> Result<Arc<Peers>, Error> {
    let read = |file: &Setting<PathBuf>| std::fs::read(&file.value).map_err(|e| Error::io(file.value.display(), e));
    let options = PeerOptions {
        name: name.clone(),
        owner,
        relays: roles.serves_clients(),
        // The duration of the lease, plus time to read the journals.
        patience: Duration::from_secs(config.job_lease.value) + OWNER_WAIT / 2,
        ca: config.peer_ca.as_ref().map(read).transpose()?,
    };
    let peers = Peers::new(options);
    Ok(Arc::new(peers.map_err(|e| {
        Error::config(format!("connecting to other processes: {e}")).hint("check the certificate in --peer-ca")
    })?))
}

/// Follows the owner's address in a background task. An owner that renews its lease no more is none.
fn follow_owner(backend: &Backend, ttl: Duration) -> (JobsOwnerAddress, BackgroundTask) {
    let (address, receiver) = watch::channel(None);
    let (registry, leases) = (backend.registry.clone(), backend.leases.clone());
    let mut changes = registry.watch(OWNER_KEY);
    let follow = async move {
        let mut every = interval(OWNER_EVERY);
        let mut renewals = interval(ttl / 2);
        let (mut lease, mut renewed) = (None, Instant::now());
        loop {
            tokio::select! {
                _ = every.tick() => {}
                change = changes.next() => if change.is_none() { return },
                _ = renewals.tick() => if let Ok(seen) = leases.get(LEASE).await && seen != lease {
                    (lease, renewed) = (seen, Instant::now());
                }
            }
            if let Ok(entry) = registry.get(OWNER_KEY).await {
                let alive = lease.is_some() && renewed.elapsed() <= 2 * ttl;
                let url = entry.filter(|_| alive).and_then(|e| String::from_utf8(e.value.to_vec()).ok());
                address.send_if_modified(|now| std::mem::replace(now, url.clone()) != url);
            }
        }
    };
    (receiver, BackgroundTask::spawn(follow))
}

fn address(listener: &TcpListener, tls: bool) -> Result<String, Error> {
    let addr = listener.local_addr().map_err(|e| Error::io("listening", e))?;
    Ok(format!("{}://{}", if tls { "https" } else { "http" }, reachable(addr)))
}

/// Waits for the lease, then owns the jobs until a signal or the loss of the lease.
async fn run_scheduler(
    config: &ServeConfig,
    components: ServerComponents,
    mut server: RunningServer<'_>,
    name: &Name,
    url: &str,
    ages: &LeaseAges,
) -> Result<(), Error> {
    let (node, signals) = (server.node().clone(), server.signals().clone());
    let ttl = Duration::from_secs(config.job_lease.value);
    let backend = components.backend.clone();
    let lease = tokio::select! {
        lease = acquire_job_lease(&backend, name.id(), ttl) => lease,
        end = wait_until_end(name, &node, &signals) => {
            end?;
            server.leave().await;
            server.stop().await;
            return Ok(());
        }
    };
    tracing::info!(name = %name.id(), epoch = lease.epoch, "owner of the jobs");
    let (lost, renewing) = renew(&backend, lease.clone(), ttl, ages.clone());
    // Reading all journals takes a while; a signal interrupts it.
    let driver = tokio::select! {
        driver = components.driver(Some(lease.epoch)) => driver?,
        end = wait_until_end(name, &node, &signals) => {
            end?;
            server.leave().await;
            server.stop().await;
            renewing.stop().await;
            release_job_lease(&backend, &lease).await;
            return Ok(());
        }
    };
    server.own(driver);
    let told = backend.registry.put(OWNER_KEY, Bytes::from(url.to_owned()), Precondition::Any).await;
    let revision = told.map_err(Error::from)?;
    tokio::select! {
        end = wait_until_end(name, &node, &signals) => {
            end?;
            // Leaves while it still owns the jobs, so that the tasks continue on other nodes at once.
            server.leave().await;
            server.stop().await;
            renewing.stop().await;
            if let Err(error) = backend.registry.delete(OWNER_KEY, Precondition::Revision(revision)).await {
                tracing::debug!(%error, "the owner's address was not removed");
            }
            release_job_lease(&backend, &lease).await;
            Ok(())
        }
        () = lost.cancelled() => Err(Error::coded(Code::Unavailable, "another process owns the jobs now")
            .hint("this process was frozen or cut off for longer than its lease; start it again")),
    }
}

/// Releases the lease, so that another process can own the jobs at once.
async fn release_job_lease(backend: &Backend, lease: &Lease) {
    if let Err(error) = backend.leases.release(lease).await {
        tracing::warn!(%error, "the lease on the jobs was not released");
    }
}

/// Waits until this process holds the lease.
async fn acquire_job_lease(backend: &Backend, name: &NodeId, ttl: Duration) -> Lease {
    loop {
        match backend.leases.acquire(LEASE, name.as_str(), ttl).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the lease on the jobs was not acquired, retrying"),
        }
        // Short enough to notice the end of a lease soon, long enough to spare the store.
        sleep(renewal_interval(ttl)).await;
    }
}

/// Renews the lease in a background task. Cancels the token once another process may hold the lease.
fn renew(backend: &Backend, lease: Lease, ttl: Duration, ages: LeaseAges) -> (CancellationToken, BackgroundTask) {
    let lost = CancellationToken::new();
    let (leases, report_loss) = (backend.leases.clone(), lost.clone());
    let renew = async move {
        let mut every = interval(renewal_interval(ttl));
        let mut held = Instant::now();
        loop {
            every.tick().await;
            let begun = Instant::now();
            match leases.renew(&lease, ttl).await {
                Ok(()) => {
                    held = begun;
                    ages.renewed(LEASE, begun);
                }
                Err(fabric_backend::Error::LeaseLost { .. }) => break,
                Err(error) => tracing::warn!(%error, "the lease on the jobs was not renewed"),
            }
            if held.elapsed() > ttl {
                break;
            }
        }
        ages.ended(LEASE);
        report_loss.cancel();
    };
    (lost, BackgroundTask::spawn(renew))
}
