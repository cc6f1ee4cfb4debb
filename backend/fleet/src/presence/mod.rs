//! Presence over one NATS subject. Each process has its own table of present nodes, see [`table`].
//!
//! Announcements are repeated, so a lost message is harmless. A new process, and one that was disconnected, asks all
//! others to announce their nodes at once. A process enters its own announcements into its table directly.

mod table;

use crate::{
    Error,
    link::Link,
    tasks::{Keep, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::presence::{Arrival, Presence};
use fabric_types::{id::NodeId, rest::node::Node};
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use table::Table;
use tokio::time::Instant;

/// The subject.
pub(crate) const SUBJECT: &str = "presence";
/// Maximum size of a message in bytes.
const LONGEST: usize = 64 << 10;
/// Maximum validity of an announcement.
const LONGEST_TTL: Duration = Duration::from_secs(3600);
/// Maximum number of nodes that one process announces.
const OURS: usize = 1024;
/// Maximum delay before a query is answered, in milliseconds. A random delay prevents a large fleet from answering all
/// at once.
const LONGEST_WAIT_MS: u64 = 500;

/// A presence message. JSON, since a newer release may add node facts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
// Values are passed one at a time.
#[allow(clippy::large_enum_variant)]
enum Word {
    /// The node is present for `ttl_ms`.
    Here { origin: u64, seq: u64, ttl_ms: u64, node: Node },
    /// The node left.
    Left { origin: u64, seq: u64, node: NodeId },
    /// Requests the announcements of all nodes.
    Who { origin: u64 },
}

struct Ours {
    node: Node,
    until: Instant,
}

struct Shared {
    link: Link,
    table: Arc<Table>,
    seq: AtomicU64,
    ours: Mutex<BTreeMap<NodeId, Ours>>,
}

pub(crate) struct FleetPresence {
    shared: Arc<Shared>,
    tasks: Tasks,
    _keep: Arc<Keep>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    fn seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    async fn say(&self, context: &'static str, word: &Word) -> Result<(), Error> {
        let payload = serde_json::to_vec(word).map_err(|e| Error::Damaged(format!("presence: {e}")))?;
        if payload.len() > LONGEST {
            return Err(Error::Backend {
                backend: "nats",
                context: context.to_owned(),
                source: format!("{} bytes of facts about a node, at most {LONGEST}", payload.len()).into(),
                retryable: false,
            });
        }
        self.link.publish(context, self.link.subject(SUBJECT), payload.into()).await
    }

    /// Repeats the announcements of this process that are still valid.
    async fn repeat(&self) {
        let now = Instant::now();
        let ours: Vec<_> = {
            let mut ours = self.ours.lock();
            ours.retain(|_, ours| ours.until > now);
            ours.values().map(|ours| (ours.node.clone(), ours.until - now)).collect()
        };
        for (node, left) in ours {
            let word = Word::Here { origin: self.link.origin, seq: self.seq(), ttl_ms: millis(left), node };
            if let Err(error) = self.say("repeat a node announcement", &word).await {
                tracing::debug!(%error, "failed to repeat a node announcement");
                return;
            }
        }
    }

    async fn ask(&self) {
        if let Err(error) = self.say("query the present nodes", &Word::Who { origin: self.link.origin }).await {
            tracing::debug!(%error, "failed to query the present nodes");
        }
    }

    /// Handles a message. Returns `Some(true)` for a query, and `None` for an invalid message.
    fn hear(&self, payload: &Bytes) -> Option<bool> {
        if payload.len() > LONGEST {
            return None;
        }
        match serde_json::from_slice(payload).ok()? {
            Word::Here { origin, .. } | Word::Left { origin, .. } | Word::Who { origin }
                if origin == self.link.origin => {}
            Word::Here { origin, seq, ttl_ms, node } => {
                self.table.here(node, Duration::from_millis(ttl_ms).min(LONGEST_TTL), (origin, seq));
            }
            Word::Left { origin, seq, node } => self.table.left(&node, (origin, seq)),
            Word::Who { .. } => return Some(true),
        }
        Some(false)
    }
}

impl FleetPresence {
    pub(crate) fn new(link: Link, deaf: Duration, tasks: &Tasks, keep: &Arc<Keep>) -> Self {
        let table = Arc::new(Table::new(link.hearing(), deaf));
        let shared = Shared { link, table, seq: AtomicU64::new(1), ours: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: tasks.clone(), _keep: Arc::clone(keep) }
    }

    /// Returns a task that receives the announcements of other processes, answers their queries, and sends a query
    /// after messages may have been missed.
    pub(crate) async fn listen(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        let link = self.shared.link.clone();
        let mut heard = link.subscribe("listen to nodes", link.subject(SUBJECT)).await?;
        self.shared.ask().await;
        let (stop, weak) = (self.tasks.stop(), Arc::downgrade(&self.shared));
        Ok(async move {
            let mut hearing = link.hearing();
            let mut gaps = hearing.borrow_and_update().gaps;
            let mut answer_at: Option<Instant> = None;
            loop {
                let answer = async {
                    match answer_at {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                let message = tokio::select! {
                    () = stop.cancelled() => return,
                    () = answer => None,
                    changed = hearing.changed() => {
                        let now = *hearing.borrow_and_update();
                        if changed.is_err() { return }
                        let Some(shared) = weak.upgrade() else { return };
                        shared.table.heard_of(now);
                        if now.connected && now.gaps != gaps {
                            gaps = now.gaps;
                            shared.repeat().await;
                            shared.ask().await;
                        }
                        continue;
                    }
                    message = heard.next() => match message {
                        Some(message) => Some(message),
                        None => return,
                    },
                };
                let Some(shared) = weak.upgrade() else { return };
                match message {
                    None => {
                        answer_at = None;
                        shared.repeat().await;
                    }
                    Some(message) => match shared.hear(&message.payload) {
                        Some(false) => {}
                        // One answer serves all queries in the meantime.
                        Some(true) if answer_at.is_none() => {
                            let most = (shared.table.len() as u64).min(LONGEST_WAIT_MS);
                            let wait = Duration::from_millis(rand::random_range(0..=most));
                            answer_at = Some(Instant::now() + wait);
                        }
                        Some(true) => {}
                        None => link.ignore(SUBJECT, "not a presence message"),
                    },
                }
            }
        })
    }
}

#[async_trait]
impl Presence for FleetPresence {
    async fn announce(&self, node: Node, ttl: Duration) -> Result<(), Error> {
        let shared = &self.shared;
        let ttl = ttl.min(LONGEST_TTL);
        let seq = shared.seq();
        shared.table.here(node.clone(), ttl, (shared.link.origin, seq));
        {
            let mut ours = shared.ours.lock();
            if ours.len() >= OURS && !ours.contains_key(&node.id) {
                let now = Instant::now();
                ours.retain(|_, ours| ours.until > now);
            }
            if ours.len() < OURS || ours.contains_key(&node.id) {
                ours.insert(node.id.clone(), Ours { node: node.clone(), until: Instant::now() + ttl });
            }
        }
        let word = Word::Here { origin: shared.link.origin, seq, ttl_ms: millis(ttl), node };
        shared.say("announce a node", &word).await
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        let shared = &self.shared;
        let seq = shared.seq();
        shared.ours.lock().remove(node);
        shared.table.left(node, (shared.link.origin, seq));
        let word = Word::Left { origin: shared.link.origin, seq, node: node.clone() };
        shared.say("announce that a node left", &word).await
    }

    async fn list(&self) -> Result<Vec<Node>, Error> {
        Ok(self.shared.table.list())
    }

    fn watch(&self) -> BoxStream<'static, Arrival> {
        table::watch(&self.shared.table, self.tasks.stop())
    }
}
