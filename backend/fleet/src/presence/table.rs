//! The table of present nodes as seen by this process. Expiry is measured on its own clock, and suspended while NATS is
//! disconnected: for a limited time after the loss no node counts as absent, and after a reconnect every node has its
//! full TTL to announce itself again.

use crate::link::Hearing;
use fabric_backend::presence::Arrival;
use fabric_types::{id::NodeId, rest::node::Node};
use futures::{StreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Maximum number of nodes. Further ones are ignored.
const NODES: usize = 131_072;
/// Number of announcing processes whose last sequence number is remembered. Above it all are forgotten, and an old
/// message may be accepted once.
const ORIGINS: usize = 262_144;

struct Entry {
    node: Node,
    /// The process that announced it.
    origin: u64,
    until: Instant,
    ttl: Duration,
}

#[derive(Default)]
struct Here {
    nodes: BTreeMap<NodeId, Entry>,
    /// The last sequence number of each announcing process.
    last: HashMap<u64, u64>,
    /// Start of the current disconnection.
    deaf_since: Option<Instant>,
}

pub(super) struct Table {
    here: Mutex<Here>,
    changed: watch::Sender<()>,
    deaf: Duration,
}

impl Here {
    /// Returns `true` if the message is newer than all earlier ones of its process.
    fn is_news(&mut self, (origin, seq): (u64, u64)) -> bool {
        if self.last.len() >= ORIGINS && !self.last.contains_key(&origin) {
            self.last.clear();
        }
        let last = self.last.entry(origin).or_insert(0);
        let news = seq > *last;
        *last = seq.max(*last);
        news
    }

    /// Returns the expiry of an entry.
    fn until(&self, entry: &Entry, deaf: Duration) -> Instant {
        match self.deaf_since {
            // Nodes that were present at the disconnection stay for the time `deaf`.
            Some(since) if entry.until > since => entry.until.max(since + deaf),
            _ => entry.until,
        }
    }

    /// Removes expired nodes. Returns the time of the next expiry.
    fn expire(&mut self, deaf: Duration) -> Option<Instant> {
        let now = Instant::now();
        let silent: Vec<NodeId> =
            self.nodes.iter().filter(|(_, e)| self.until(e, deaf) <= now).map(|(id, _)| id.clone()).collect();
        for id in silent {
            self.nodes.remove(&id);
        }
        self.nodes.values().map(|entry| self.until(entry, deaf)).min()
    }
}

impl Table {
    pub(super) fn new(hearing: watch::Receiver<Hearing>, deaf: Duration) -> Self {
        let table = Self { here: Mutex::default(), changed: watch::Sender::new(()), deaf };
        table.heard_of(*hearing.borrow());
        table
    }

    pub(super) fn len(&self) -> usize {
        self.here.lock().nodes.len()
    }

    pub(super) fn here(&self, node: Node, ttl: Duration, said: (u64, u64)) {
        {
            let mut here = self.here.lock();
            if !here.is_news(said) || (here.nodes.len() >= NODES && !here.nodes.contains_key(&node.id)) {
                return;
            }
            here.expire(self.deaf);
            // A process that lost its name to another may continue to announce for a moment.
            if here.nodes.get(&node.id).is_some_and(|known| known.node.epoch > node.epoch) {
                return;
            }
            here.nodes.insert(node.id.clone(), Entry { node, origin: said.0, until: Instant::now() + ttl, ttl });
        }
        self.changed.send_replace(());
    }

    pub(super) fn left(&self, node: &NodeId, said: (u64, u64)) {
        {
            let mut here = self.here.lock();
            if !here.is_news(said) {
                return;
            }
            // Not if a successor with the same name announced the node.
            if here.nodes.get(node).is_none_or(|known| known.origin != said.0) {
                return;
            }
            here.nodes.remove(node);
        }
        self.changed.send_replace(());
    }

    /// Handles a change of the connection.
    pub(super) fn heard_of(&self, hearing: Hearing) {
        {
            let mut here = self.here.lock();
            let now = Instant::now();
            match (hearing.connected, here.deaf_since) {
                (false, None) => here.deaf_since = Some(now),
                (true, Some(since)) => {
                    here.expire(self.deaf);
                    here.deaf_since = None;
                    // All processes are queried now, and have their usual time to answer.
                    for entry in here.nodes.values_mut().filter(|entry| entry.until > since) {
                        entry.until = entry.until.max(now + entry.ttl);
                    }
                }
                _ => {}
            }
        }
        self.changed.send_replace(());
    }

    pub(super) fn list(&self) -> Vec<Node> {
        let mut here = self.here.lock();
        here.expire(self.deaf);
        here.nodes.values().map(|entry| entry.node.clone()).collect()
    }
}

struct Watcher {
    table: Arc<Table>,
    changed: watch::Receiver<()>,
    seen: BTreeMap<NodeId, Node>,
    ready: VecDeque<Arrival>,
    stop: CancellationToken,
}

impl Watcher {
    /// Fills `ready` with the differences from `seen`. Returns the time of the next expiry.
    fn look(&mut self) -> Option<Instant> {
        let mut here = self.table.here.lock();
        let silent_at = here.expire(self.table.deaf);
        self.ready.extend(self.seen.keys().filter(|id| !here.nodes.contains_key(*id)).cloned().map(Arrival::Gone));
        self.seen.retain(|id, _| here.nodes.contains_key(id));
        for (id, entry) in &here.nodes {
            if self.seen.get(id) != Some(&entry.node) {
                self.ready.push_back(Arrival::Here(entry.node.clone()));
                self.seen.insert(id.clone(), entry.node.clone());
            }
        }
        silent_at
    }

    async fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.ready.pop_front() {
                return Some(arrival);
            }
            self.changed.mark_unchanged();
            let silent_at = self.look();
            if !self.ready.is_empty() {
                continue;
            }
            let silence = async {
                match silent_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.changed.changed() => changed.ok()?,
                () = silence => {}
            }
        }
    }
}

pub(super) fn watch(table: &Arc<Table>, stop: CancellationToken) -> BoxStream<'static, Arrival> {
    let watcher = Watcher {
        table: Arc::clone(table),
        changed: table.changed.subscribe(),
        seen: BTreeMap::new(),
        ready: VecDeque::new(),
        stop,
    };
    stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|arrival| (arrival, watcher)) }).boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn node(name: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "id": name, "state": "ready", "version": "0", "engine": "e", "cpu_slots": 1, "running": 0, "queued": 0,
            "memory_bytes": 0, "used_bytes": 0, "modules": 0, "labels": {}, "started_ms": 0, "seen_ms": 0,
        }))
        .unwrap()
    }

    fn epoch(node: Node, epoch: u64) -> Node {
        Node { epoch, ..node }
    }

    fn names(table: &Table) -> Vec<String> {
        table.list().iter().map(|node| node.id.to_string()).collect()
    }

    const TTL: Duration = Duration::from_secs(10);

    fn table() -> Table {
        let (_, hearing) = watch::channel(Hearing { connected: true, gaps: 0 });
        Table::new(hearing, Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn old_and_repeated_words_change_nothing() {
        let table = table();
        table.here(node("a"), TTL, (1, 5));
        table.left(&NodeId::new("a").unwrap(), (1, 6));
        table.here(node("a"), TTL, (1, 5));
        assert_eq!(names(&table), [""; 0]);
        // A new process of the same node has a new sequence.
        table.here(node("a"), TTL, (2, 1));
        table.left(&NodeId::new("a").unwrap(), (1, 6));
        assert_eq!(names(&table), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_processes_with_one_name_the_later_holder_is_shown() {
        let table = table();
        let shown = || table.list().iter().map(|node| node.epoch).collect::<Vec<_>>();
        table.here(epoch(node("a"), 1), TTL, (1, 1));
        table.here(epoch(node("a"), 2), TTL, (2, 1));
        assert_eq!(shown(), [2]);
        // The earlier process has not noticed yet that it lost the name.
        table.here(epoch(node("a"), 1), TTL, (1, 2));
        assert_eq!(shown(), [2]);
        table.left(&NodeId::new("a").unwrap(), (1, 3));
        assert_eq!(shown(), [2], "its good-bye is its own");
        table.left(&NodeId::new("a").unwrap(), (2, 2));
        assert_eq!(shown(), [0; 0]);
        // After the later process's announcement has expired, the earlier one is accepted.
        table.here(epoch(node("a"), 2), TTL, (2, 3));
        tokio::time::advance(TTL * 2).await;
        table.here(epoch(node("a"), 1), TTL, (1, 4));
        assert_eq!(shown(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_not_hear_calls_nobody_silent_for_a_while() {
        let table = table();
        table.here(node("a"), TTL, (1, 1));
        table.heard_of(Hearing { connected: false, gaps: 0 });
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(names(&table), ["a"]);
        table.heard_of(Hearing { connected: true, gaps: 1 });
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(names(&table), ["a"], "it has its usual time to speak");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(names(&table), [""; 0]);
        table.here(node("b"), TTL, (1, 2));
        table.heard_of(Hearing { connected: false, gaps: 1 });
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(names(&table), [""; 0], "but not for ever");
    }
}
