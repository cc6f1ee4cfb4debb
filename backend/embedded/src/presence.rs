//! Presence in memory. A watcher compares the present nodes with those it last saw, so a slow watcher still reaches the
//! final state.

use async_trait::async_trait;
use fabric_backend::{
    Error,
    presence::{Arrival, Presence},
};
use fabric_types::{id::NodeId, rest::node::Node};
use futures::{StreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

type Here = BTreeMap<NodeId, (Node, Instant)>;

pub(super) struct LocalPresence {
    here: Arc<Mutex<Here>>,
    changed: watch::Sender<()>,
}

impl LocalPresence {
    pub(super) fn new() -> Self {
        Self { here: Arc::default(), changed: watch::Sender::new(()) }
    }
}

/// Removes nodes whose announcement expired.
fn living(here: &mut Here) -> &Here {
    let now = Instant::now();
    here.retain(|_, (_, until)| *until > now);
    here
}

struct Watcher {
    here: Arc<Mutex<Here>>,
    changed: watch::Receiver<()>,
    seen: BTreeMap<NodeId, Node>,
    ready: VecDeque<Arrival>,
}

impl Watcher {
    /// Fills `ready` with the differences from `seen`. Returns the time of the next expiry.
    fn look(&mut self) -> Option<Instant> {
        let mut here = self.here.lock();
        let here = living(&mut here);
        self.ready.extend(self.seen.keys().filter(|id| !here.contains_key(*id)).cloned().map(Arrival::Gone));
        let news = here.iter().filter(|(id, (node, _))| self.seen.get(*id) != Some(node));
        self.ready.extend(news.map(|(_, (node, _))| Arrival::Here(node.clone())));
        self.seen = here.iter().map(|(id, (node, _))| (id.clone(), node.clone())).collect();
        here.values().map(|(_, until)| *until).min()
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
                changed = self.changed.changed() => changed.ok()?,
                () = silence => {}
            }
        }
    }
}

#[async_trait]
impl Presence for LocalPresence {
    async fn announce(&self, node: Node, ttl: Duration) -> Result<(), Error> {
        self.here.lock().insert(node.id.clone(), (node, Instant::now() + ttl));
        self.changed.send_replace(());
        Ok(())
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        self.here.lock().remove(node);
        self.changed.send_replace(());
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Node>, Error> {
        Ok(living(&mut self.here.lock()).values().map(|(node, _)| node.clone()).collect())
    }

    fn watch(&self) -> BoxStream<'static, Arrival> {
        let watcher = Watcher {
            here: Arc::clone(&self.here),
            changed: self.changed.subscribe(),
            seen: BTreeMap::new(),
            ready: VecDeque::new(),
        };
        stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|arrival| (arrival, watcher)) })
            .boxed()
    }
}
