//! The other processes of a fleet: the owner of the jobs, which receives every request about jobs, and the nodes, which
//! receive a synchronous call if this process has no room for it.
//!
//! A forwarded request carries the caller's own token and is checked again by the receiver, so processes need not trust
//! each other. It also carries a mark, so that it is forwarded only once and never in a circle.

pub(crate) mod call_routing;
mod forward;
mod owner;
mod replayable_body;

pub(crate) use forward::Forwarded;

use fabric_backend::{
    Backend,
    presence::PresenceChange,
    registry::{Change, RegistryEntry},
};
use fabric_driver::NodeMode;
use fabric_types::{id::NodeId, node::NodeFacts};
use futures::StreamExt as _;
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use tokio::sync::watch;

/// Timeout for a connection to another process.
const CONNECT: Duration = Duration::from_secs(3);
/// Usual time that a request waits for an owner.
pub const OWNER_WAIT: Duration = Duration::from_secs(20);
/// Maximum node modes that are read at the start.
const MAX_NODE_MODES: usize = 10_000;
/// Connections for calls to one node. A connection has 256 streams at most and one task that drives it.
const CONNECTIONS: usize = 4;
/// Maximum streams of a connection.
const CALLS_ON_A_CONNECTION: u32 = 256;
/// Bytes of an answer that may be buffered ahead of the caller's reads.
const CALL_WINDOW: u32 = 256 << 10;

/// The address of the owner of the jobs, as `http://HOST:PORT`; `None` while there is no owner.
pub type JobsOwnerAddress = watch::Receiver<Option<String>>;

/// The settings of a process that joins a fleet.
pub struct Options {
    /// This process's name.
    pub name: NodeId,
    /// The address of the owner of the jobs.
    pub owner: JobsOwnerAddress,
    /// `true` if it forwards requests that only the owner can answer. A process that only runs guests refuses them.
    pub relays: bool,
    /// Maximum time that a request waits for an owner. [`OWNER_WAIT`] covers the expiry of a lease and the reading of
    /// journals.
    pub patience: Duration,
    /// The certificate authority of the other processes, as PEM; `None`: the authorities that the system trusts.
    pub ca: Option<Vec<u8>>,
}

/// The other processes of a fleet.
pub struct Peers {
    name: NodeId,
    owner: JobsOwnerAddress,
    relays: bool,
    patience: Duration,
    /// Client for the owner. A connection for each request, since some last for hours.
    relaying: reqwest::Client,
    /// Clients for nodes: HTTP/2, many calls on a connection. The first of each pair is for `http://`, with prior
    /// knowledge of HTTP/2.
    calling: Vec<(reqwest::Client, reqwest::Client)>,
    nodes: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    /// Nodes that operators closed for new work.
    cordoned: RwLock<BTreeSet<NodeId>>,
}

/// A node, and the calls that this process has with it.
pub(crate) struct Peer {
    facts: NodeFacts,
    url: String,
    calls: Arc<AtomicU32>,
}

/// Returns a builder of an HTTP client for peers: no redirects, no decompression, no system proxy.
fn client(ca: Option<&reqwest::Certificate>) -> reqwest::ClientBuilder {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(CONNECT);
    match ca {
        Some(ca) => client.tls_certs_only([ca.clone()]),
        None => client,
    }
}

/// Sets the windows for data that callers have not read, of each call and of all calls on a connection: calls that read
/// nothing cannot use up the share of the others.
fn windows(client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    client
        .http2_initial_stream_window_size(CALL_WINDOW)
        .http2_initial_connection_window_size(CALL_WINDOW * CALLS_ON_A_CONNECTION)
}

impl Peers {
    /// Creates the view of a fleet in which no other process is known yet.
    ///
    /// # Errors
    /// If `ca` is not a certificate, or if no HTTP client can be created.
    pub fn new(options: Options) -> Result<Self, reqwest::Error> {
        let ca = options.ca.as_deref().map(reqwest::Certificate::from_pem).transpose()?;
        let calling = (0..CONNECTIONS).map(|_| {
            let plain = windows(client(None).http2_prior_knowledge()).build()?;
            let secure = windows(client(ca.as_ref())).build()?;
            Ok((plain, secure))
        });
        Ok(Self {
            name: options.name,
            owner: options.owner,
            relays: options.relays,
            patience: options.patience,
            relaying: client(ca.as_ref()).http1_only().build()?,
            calling: calling.collect::<Result<_, reqwest::Error>>()?,
            nodes: RwLock::default(),
            cordoned: RwLock::default(),
        })
    }

    /// Returns `true` if an owner of the jobs is known to this process.
    #[must_use]
    pub fn knows_owner(&self) -> bool {
        self.owner.borrow().is_some()
    }

    /// Keeps the nodes up to date. Returns when presence closes. Run it alongside the server.
    pub async fn follow(&self, backend: &Backend) {
        let mut arrivals = backend.presence.watch();
        // Watched before the list is read, so that no change is missed in between.
        let mut modes = backend.registry.watch(NodeMode::PREFIX);
        match backend.registry.list(NodeMode::PREFIX, None, MAX_NODE_MODES).await {
            Ok(entries) => entries.iter().for_each(|entry| self.apply_mode(entry)),
            Err(error) => tracing::warn!(%error, "could not read the drained nodes"),
        }
        loop {
            tokio::select! {
                Some(arrival) = arrivals.next() => self.apply_presence(arrival),
                Some(change) = modes.next() => match change {
                    Change::Put(entry) => self.apply_mode(&entry),
                    Change::Deleted(key) => self.cordoned.write().retain(|node| !key.ends_with(&format!("/{node}"))),
                },
                else => return,
            }
        }
    }

    fn apply_mode(&self, entry: &RegistryEntry) {
        match NodeMode::read(entry) {
            Some((node, NodeMode::Open)) => self.cordoned.write().remove(&node),
            Some((node, _)) => self.cordoned.write().insert(node),
            None => false,
        };
    }

    /// Returns `true` if a node takes calls of other processes.
    fn is_open(&self, node: &NodeFacts) -> bool {
        !node.leaving && !self.cordoned.read().contains(&node.id)
    }

    fn apply_presence(&self, arrival: PresenceChange) {
        let mut nodes = self.nodes.write();
        match arrival {
            PresenceChange::Present(facts) if facts.id != self.name => {
                let Some(url) = facts.url.clone() else {
                    nodes.remove(&facts.id);
                    return;
                };
                let calls = nodes.get(&facts.id).map(|peer| Arc::clone(&peer.calls)).unwrap_or_default();
                nodes.insert(facts.id.clone(), Arc::new(Peer { facts, url, calls }));
            }
            PresenceChange::Present(_) => {}
            PresenceChange::Absent(id) => {
                nodes.remove(&id);
            }
        }
    }
}
