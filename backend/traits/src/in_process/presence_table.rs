//! The table of present nodes as seen by this process.
//!
//! Expiry is measured on its own clock. A backend whose announcements arrive over a network suspends it while it is
//! disconnected: for a limited time no node counts as absent, and after a reconnect every node has its full TTL to
//! announce itself again.
//!
//! A watcher compares the present nodes with those it last saw, so a slow watcher still reaches the final state, and
//! its backlog is bounded by the number of nodes.

use crate::presence::PresenceChange;
use fabric_types::{id::NodeId, node::NodeFacts};
use futures::{StreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Maximum number of nodes. Further ones are ignored.
const NODES: usize = 131_072;
/// Number of announcing processes whose last sequence number is remembered. Above it all are forgotten, and an old
/// message may be accepted once.
const ORIGINS: usize = 262_144;

/// The order of a presence message among those of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceStamp {
    /// The process that sent the message.
    pub origin: u64,
    /// Grows with every message of the process; never 0.
    pub seq: u64,
}

struct Entry {
    node: NodeFacts,
    /// The process that announced it.
    origin: u64,
    until: Instant,
    ttl: Duration,
}

struct NodeTable {
    nodes: BTreeMap<NodeId, Entry>,
    /// The last sequence number of each announcing process.
    last: HashMap<u64, u64>,
    /// This process.
    origin: u64,
    /// The next sequence number of this process.
    next: u64,
    /// Start of the current disconnection.
    disconnected_since: Option<Instant>,
    /// Time after a disconnection during which no node counts as absent.
    outage_grace: Duration,
}

impl NodeTable {
    fn stamp(&mut self) -> PresenceStamp {
        let seq = self.next;
        self.next += 1;
        PresenceStamp { origin: self.origin, seq }
    }

    /// Returns `true` if the message is newer than all earlier ones of its process.
    fn is_news(&mut self, stamp: PresenceStamp) -> bool {
        if self.last.len() >= ORIGINS && !self.last.contains_key(&stamp.origin) {
            self.last.clear();
        }
        let last = self.last.entry(stamp.origin).or_insert(0);
        let news = stamp.seq > *last;
        *last = stamp.seq.max(*last);
        news
    }

    /// Returns the expiry of an entry.
    fn until(&self, entry: &Entry) -> Instant {
        match self.disconnected_since {
            // Nodes that were present at the disconnection stay for the grace period.
            Some(since) if entry.until > since => entry.until.max(since + self.outage_grace),
            _ => entry.until,
        }
    }

    /// Removes expired nodes. Returns the time of the next expiry.
    fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let silent: Vec<NodeId> =
            self.nodes.iter().filter(|(_, entry)| self.until(entry) <= now).map(|(id, _)| id.clone()).collect();
        for id in silent {
            self.nodes.remove(&id);
        }
        self.nodes.values().map(|entry| self.until(entry)).min()
    }

    fn announce(&mut self, node: NodeFacts, ttl: Duration, origin: u64) {
        if self.nodes.len() >= NODES && !self.nodes.contains_key(&node.id) {
            return;
        }
        self.expire();
        // A process that lost its name to another may continue to announce for a moment.
        if self.nodes.get(&node.id).is_some_and(|known| known.node.epoch > node.epoch) {
            return;
        }
        self.nodes.insert(node.id.clone(), Entry { node, origin, until: Instant::now() + ttl, ttl });
    }

    fn leave(&mut self, node: &NodeId, origin: u64) {
        // Not if a successor with the same name announced the node.
        if self.nodes.get(node).is_some_and(|known| known.origin == origin) {
            self.nodes.remove(node);
        }
    }
}

/// The table of present nodes. Its watchers end when it is dropped.
pub struct PresenceTable {
    table: Arc<Mutex<NodeTable>>,
    changed: watch::Sender<()>,
}

impl PresenceTable {
    /// Creates an empty table for the process `origin`. During the first `outage_grace` of a disconnection no node
    /// counts as absent.
    #[must_use]
    pub fn new(origin: u64, outage_grace: Duration) -> Self {
        let table = NodeTable {
            nodes: BTreeMap::new(),
            last: HashMap::new(),
            origin,
            next: 1,
            disconnected_since: None,
            outage_grace,
        };
        Self { table: Arc::new(Mutex::new(table)), changed: watch::Sender::new(()) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut NodeTable) -> T) -> T {
        let value = change(&mut self.table.lock());
        self.changed.send_replace(());
        value
    }

    /// Applies a message of another process, unless a newer one of that process was received.
    fn receive(&self, stamp: PresenceStamp, apply: impl FnOnce(&mut NodeTable)) {
        let mut table = self.table.lock();
        if table.is_news(stamp) {
            apply(&mut table);
            drop(table);
            self.changed.send_replace(());
        }
    }

    /// Returns the number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().nodes.len()
    }

    /// Returns `true` if there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a stamp for the next message of this process.
    #[must_use]
    pub fn stamp(&self) -> PresenceStamp {
        self.table.lock().stamp()
    }

    /// Enters an announcement by this process, valid for `ttl`. Returns its stamp.
    pub fn announce(&self, node: NodeFacts, ttl: Duration) -> PresenceStamp {
        self.change(|table| {
            let stamp = table.stamp();
            table.announce(node, ttl, stamp.origin);
            stamp
        })
    }

    /// Removes a node that this process announced. Returns the stamp of the removal.
    pub fn leave(&self, node: &NodeId) -> PresenceStamp {
        self.change(|table| {
            let stamp = table.stamp();
            table.leave(node, stamp.origin);
            stamp
        })
    }

    /// Enters an announcement by another process, unless a newer message of that process was received.
    pub fn announced(&self, node: NodeFacts, ttl: Duration, stamp: PresenceStamp) {
        self.receive(stamp, |table| table.announce(node, ttl, stamp.origin));
    }

    /// Removes a node that another process announced, unless a newer message of that process was received.
    pub fn left(&self, node: &NodeId, stamp: PresenceStamp) {
        self.receive(stamp, |table| table.leave(node, stamp.origin));
    }

    /// Suspends the expiry of nodes while announcements of other processes cannot arrive.
    pub fn set_connected(&self, connected: bool) {
        self.change(|table| {
            let now = Instant::now();
            match (connected, table.disconnected_since) {
                (false, None) => table.disconnected_since = Some(now),
                (true, Some(since)) => {
                    table.expire();
                    table.disconnected_since = None;
                    // All processes are queried now, and have their usual time to answer.
                    for entry in table.nodes.values_mut().filter(|entry| entry.until > since) {
                        entry.until = entry.until.max(now + entry.ttl);
                    }
                }
                _ => {}
            }
        });
    }

    /// Returns the present nodes, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<NodeFacts> {
        let mut table = self.table.lock();
        table.expire();
        table.nodes.values().map(|entry| entry.node.clone()).collect()
    }

    /// Returns a stream of all present nodes, followed by every change.
    #[must_use]
    pub fn watch(&self) -> BoxStream<'static, PresenceChange> {
        let watcher = Watcher {
            table: Arc::clone(&self.table),
            changed: self.changed.subscribe(),
            seen: BTreeMap::new(),
            ready: VecDeque::new(),
        };
        stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|change| (change, watcher)) })
            .boxed()
    }
}

struct Watcher {
    table: Arc<Mutex<NodeTable>>,
    changed: watch::Receiver<()>,
    seen: BTreeMap<NodeId, NodeFacts>,
    ready: VecDeque<PresenceChange>,
}

impl Watcher {
    /// Fills `ready` with the differences from `seen`. Returns the time of the next expiry.
    fn compare(&mut self) -> Option<Instant> {
        let mut table = self.table.lock();
        let next_expiry = table.expire();
        let gone = self.seen.keys().filter(|id| !table.nodes.contains_key(*id));
        self.ready.extend(gone.cloned().map(PresenceChange::Absent));
        self.seen.retain(|id, _| table.nodes.contains_key(id));
        for (id, entry) in &table.nodes {
            if self.seen.get(id) != Some(&entry.node) {
                self.ready.push_back(PresenceChange::Present(entry.node.clone()));
                self.seen.insert(id.clone(), entry.node.clone());
            }
        }
        next_expiry
    }

    async fn next(&mut self) -> Option<PresenceChange> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            self.changed.mark_unchanged();
            let next_expiry = self.compare();
            if !self.ready.is_empty() {
                continue;
            }
            let expiry = async {
                match next_expiry {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = expiry => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "presence_table_tests.rs"]
mod tests;
