//! Presence over one NATS subject. Each process has its own [`PresenceTable`].
//!
//! Announcements are repeated, so a lost message is harmless. A new process, and one that was disconnected, asks all
//! others to announce their nodes at once. A process enters its own announcements into its table directly.

use crate::{
    Error,
    link::Link,
    tasks::{TaskGuard, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    in_process::{PresenceStamp, PresenceTable},
    presence::{Presence, PresenceChange},
};
use fabric_types::{id::NodeId, node::NodeFacts};
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The subject.
pub(crate) const SUBJECT: &str = "presence";
/// Maximum size of a message in bytes.
const LONGEST: usize = 64 << 10;
/// Maximum validity of an announcement.
const LONGEST_TTL: Duration = Duration::from_secs(3600);
/// Maximum number of nodes that one process announces.
const MAX_LOCAL_NODES: usize = 1024;
/// Maximum delay before a query is answered, in milliseconds. A random delay prevents a large fleet from answering all
/// at once.
const LONGEST_WAIT_MS: u64 = 500;

/// A presence message. JSON, since a newer release may add node facts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
// Values are passed one at a time.
#[allow(clippy::large_enum_variant)]
enum PresenceMessage {
    /// The node is present for `ttl_ms`.
    Present { origin: u64, seq: u64, ttl_ms: u64, node: NodeFacts },
    /// The node left.
    Left { origin: u64, seq: u64, node: NodeId },
    /// Requests the announcements of all nodes.
    Query { origin: u64 },
}

struct LocalAnnouncement {
    node: NodeFacts,
    until: Instant,
}

struct Shared {
    link: Link,
    table: PresenceTable,
    local: Mutex<BTreeMap<NodeId, LocalAnnouncement>>,
}

pub(crate) struct FleetPresence {
    shared: Arc<Shared>,
    tasks: Tasks,
    _guard: Arc<TaskGuard>,
}

fn present(stamp: PresenceStamp, ttl: Duration, node: NodeFacts) -> PresenceMessage {
    let PresenceStamp { origin, seq } = stamp;
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    PresenceMessage::Present { origin, seq, ttl_ms, node }
}

impl Shared {
    async fn send(&self, context: &'static str, message: &PresenceMessage) -> Result<(), Error> {
        let payload = serde_json::to_vec(message).map_err(|e| Error::Damaged(format!("presence: {e}")))?;
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
        let local: Vec<_> = {
            let mut local = self.local.lock();
            local.retain(|_, announcement| announcement.until > now);
            local.values().map(|announcement| (announcement.node.clone(), announcement.until - now)).collect()
        };
        for (node, left) in local {
            let message = present(self.table.stamp(), left, node);
            if let Err(error) = self.send("repeat a node announcement", &message).await {
                tracing::debug!(%error, "failed to repeat a node announcement");
                return;
            }
        }
    }

    async fn query(&self) {
        if let Err(error) =
            self.send("query the present nodes", &PresenceMessage::Query { origin: self.link.origin }).await
        {
            tracing::debug!(%error, "failed to query the present nodes");
        }
    }

    /// Handles a message. Returns `Some(true)` for a query, and `None` for an invalid message.
    fn receive(&self, payload: &Bytes) -> Option<bool> {
        if payload.len() > LONGEST {
            return None;
        }
        match serde_json::from_slice(payload).ok()? {
            PresenceMessage::Present { origin, .. }
            | PresenceMessage::Left { origin, .. }
            | PresenceMessage::Query { origin }
                if origin == self.link.origin => {}
            PresenceMessage::Present { origin, seq, ttl_ms, node } => {
                let ttl = Duration::from_millis(ttl_ms).min(LONGEST_TTL);
                self.table.announced(node, ttl, PresenceStamp { origin, seq });
            }
            PresenceMessage::Left { origin, seq, node } => self.table.left(&node, PresenceStamp { origin, seq }),
            PresenceMessage::Query { .. } => return Some(true),
        }
        Some(false)
    }
}

impl FleetPresence {
    pub(crate) fn new(link: Link, outage_grace: Duration, tasks: &Tasks, guard: &Arc<TaskGuard>) -> Self {
        let table = PresenceTable::new(link.origin, outage_grace);
        table.set_connected(link.is_connected());
        let shared = Shared { link, table, local: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: tasks.clone(), _guard: Arc::clone(guard) }
    }

    /// Returns a task that receives the announcements of other processes, answers their queries, and sends a query
    /// after messages may have been missed.
    pub(crate) async fn listen(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        let link = self.shared.link.clone();
        let mut subscription = link.subscribe("listen to nodes", link.subject(SUBJECT)).await?;
        self.shared.query().await;
        let (stop, weak) = (self.tasks.stop(), Arc::downgrade(&self.shared));
        Ok(async move {
            let mut connection = link.connection();
            let mut gaps = connection.borrow_and_update().gaps;
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
                    changed = connection.changed() => {
                        let now = *connection.borrow_and_update();
                        if changed.is_err() { return }
                        let Some(shared) = weak.upgrade() else { return };
                        shared.table.set_connected(now.connected);
                        if now.connected && now.gaps != gaps {
                            gaps = now.gaps;
                            shared.repeat().await;
                            shared.query().await;
                        }
                        continue;
                    }
                    message = subscription.next() => match message {
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
                    Some(message) => match shared.receive(&message.payload) {
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
    async fn announce(&self, node: NodeFacts, ttl: Duration) -> Result<(), Error> {
        let shared = &self.shared;
        let ttl = ttl.min(LONGEST_TTL);
        let stamp = shared.table.announce(node.clone(), ttl);
        {
            let mut local = shared.local.lock();
            if local.len() >= MAX_LOCAL_NODES && !local.contains_key(&node.id) {
                let now = Instant::now();
                local.retain(|_, announcement| announcement.until > now);
            }
            if local.len() < MAX_LOCAL_NODES || local.contains_key(&node.id) {
                local.insert(node.id.clone(), LocalAnnouncement { node: node.clone(), until: Instant::now() + ttl });
            }
        }
        shared.send("announce a node", &present(stamp, ttl, node)).await
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        let shared = &self.shared;
        shared.local.lock().remove(node);
        let PresenceStamp { origin, seq } = shared.table.leave(node);
        let message = PresenceMessage::Left { origin, seq, node: node.clone() };
        shared.send("announce that a node left", &message).await
    }

    async fn list(&self) -> Result<Vec<NodeFacts>, Error> {
        Ok(self.shared.table.list())
    }

    fn watch(&self) -> BoxStream<'static, PresenceChange> {
        self.shared.table.watch()
    }
}
