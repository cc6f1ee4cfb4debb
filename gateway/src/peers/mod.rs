//! The other processes of a fleet: the one that owns the jobs, to which everything about jobs is passed on, and the nodes,
//! to which a synchronous call goes when this process has no room for it.
//!
//! A request that was passed on carries the caller's own token and is checked again where it arrives, so processes need
//! not trust each other. It carries a mark too: it is passed on once, never round in a circle.

mod held;
pub(crate) mod near;
mod owner;
mod pass;

pub(crate) use pass::Passed;

use fabric_driver::NodeMode;
use fabric_engine::{
    Engine,
    presence::Arrival,
    registry::{Change, Entry},
};
use fabric_types::{id::NodeId, rest::node::Node};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use tokio::sync::watch;

/// How long a connection to another process may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a request usually waits for an owner.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Nodes whose drains are read at the start.
const WISHES: usize = 10_000;
/// Connections over which calls go to one node. A connection has 256 streams at most and one task that drives it.
const CONNECTIONS: usize = 4;
/// Those streams.
const CALLS_ON_A_CONNECTION: u32 = 256;
/// Bytes of an answer that may come ahead of the caller's reading.
const CALL_WINDOW: u32 = 256 << 10;

/// Marks a request that was passed on. Its value is the scheme that the caller used.
pub(crate) const RELAYED: HeaderName = HeaderName::from_static("fabric-relayed");

/// Where the owner of the jobs answers, as `http://HOST:PORT`; none while there is no owner.
pub type Owner = watch::Receiver<Option<String>>;

/// What a process knows of a fleet when it joins.
pub struct Options {
    /// This process's name.
    pub name: NodeId,
    /// Where the owner of the jobs answers.
    pub owner: Owner,
    /// Whether it passes on what only the owner can answer. A process that only runs guests refuses that instead.
    pub relays: bool,
    /// How long a request waits for an owner. [`PATIENCE`] covers a lease that runs out and the reading of journals.
    pub patience: Duration,
    /// The authority that signed the other processes' certificates, as PEM; none: those that the system trusts.
    pub ca: Option<Vec<u8>>,
}

/// The other processes.
pub struct Peers {
    name: NodeId,
    owner: Owner,
    relays: bool,
    patience: Duration,
    /// To the owner: a connection for each request, since some last for hours.
    relaying: reqwest::Client,
    /// To nodes: HTTP/2, many calls on a connection. The first ones for `http://`, where HTTP/2 must be known beforehand.
    calling: Vec<(reqwest::Client, reqwest::Client)>,
    nodes: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    /// Nodes that operators want no work on.
    closed: RwLock<BTreeSet<NodeId>>,
}

/// A node and the calls that this process has with it.
pub(crate) struct Peer {
    facts: Node,
    url: String,
    calls: Arc<AtomicU32>,
}

/// Whether a request was passed on to this process by another.
pub(crate) fn was_passed(headers: &HeaderMap) -> bool {
    headers.contains_key(&RELAYED)
}

/// A client for other processes. What they answer is the caller's to follow and to unpack, and no proxy of this
/// machine's is meant.
fn client(ca: Option<&reqwest::Certificate>) -> reqwest::ClientBuilder {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(CONNECT);
    match ca {
        Some(ca) => client.tls_certs_only([ca.clone()]),
        None => client,
    }
}

/// Room for what callers have not read, of each call and of all calls on a connection: so many that read nothing can't use
/// up what the others need.
fn windows(client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    client
        .http2_initial_stream_window_size(CALL_WINDOW)
        .http2_initial_connection_window_size(CALL_WINDOW * CALLS_ON_A_CONNECTION)
}

impl Peers {
    /// What is known of the others before any was heard of.
    ///
    /// # Errors
    /// When `ca` is no certificate, or no HTTP client can be made.
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
            closed: RwLock::default(),
        })
    }

    /// Whether a process owns the jobs, as far as this one knows.
    #[must_use]
    pub fn knows_owner(&self) -> bool {
        self.owner.borrow().is_some()
    }

    /// Keeps the nodes up to date; returns when presence closes. Run it beside the server.
    pub async fn follow(&self, engine: &Engine) {
        let mut arrivals = engine.presence.watch();
        // The changes first, so that none is missed between the two.
        let mut wishes = engine.registry.watch(NodeMode::PREFIX);
        match engine.registry.list(NodeMode::PREFIX, None, WISHES).await {
            Ok(entries) => entries.iter().for_each(|entry| self.wish(entry)),
            Err(error) => tracing::warn!(%error, "not known which nodes are drained"),
        }
        loop {
            tokio::select! {
                Some(arrival) = arrivals.next() => self.hear(arrival),
                Some(change) = wishes.next() => match change {
                    Change::Put(entry) => self.wish(&entry),
                    Change::Deleted(key) => self.closed.write().retain(|node| !key.ends_with(&format!("/{node}"))),
                },
                else => return,
            }
        }
    }

    fn wish(&self, entry: &Entry) {
        match NodeMode::read(entry) {
            Some((node, NodeMode::Open)) => self.closed.write().remove(&node),
            Some((node, _)) => self.closed.write().insert(node),
            None => false,
        };
    }

    /// Whether a node is to get calls of others.
    fn is_open(&self, node: &Node) -> bool {
        !node.leaving && !self.closed.read().contains(&node.id)
    }

    fn hear(&self, arrival: Arrival) {
        let mut nodes = self.nodes.write();
        match arrival {
            Arrival::Here(facts) if facts.id != self.name => {
                let Some(url) = facts.url.clone() else {
                    nodes.remove(&facts.id);
                    return;
                };
                let calls = nodes.get(&facts.id).map(|peer| Arc::clone(&peer.calls)).unwrap_or_default();
                nodes.insert(facts.id.clone(), Arc::new(Peer { facts, url, calls }));
            }
            Arrival::Here(_) => {}
            Arrival::Gone(id) => {
                nodes.remove(&id);
            }
        }
    }
}
