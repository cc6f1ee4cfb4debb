//! Watchers of the registry. A slow watcher receives only the newest change of each key, in the order in which the keys
//! first changed. Its backlog is therefore bounded by the number of keys under its prefix, including those deleted in
//! the meantime.

use crate::registry::Change;
use futures::{StreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Backlog {
    order: VecDeque<String>,
    newest: HashMap<String, Change>,
    /// The newest published revision of each key. Empty if changes are published in order. Bounded by the number of
    /// keys under the prefix.
    known: HashMap<String, u64>,
    closed: bool,
}

/// A watcher of the keys under one prefix.
#[derive(Debug)]
pub struct ChangeWatcher {
    prefix: String,
    backlog: Mutex<Backlog>,
    wake: Notify,
}

impl ChangeWatcher {
    /// Returns the prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn offer(&self, key: &str, revision: Option<u64>, change: impl FnOnce() -> Change) {
        if !key.starts_with(&self.prefix) {
            return;
        }
        let mut backlog = self.backlog.lock();
        if let Some(revision) = revision {
            if backlog.known.get(key).is_some_and(|known| *known >= revision) {
                return;
            }
            backlog.known.insert(key.to_owned(), revision);
        }
        if backlog.newest.insert(key.to_owned(), change()).is_none() {
            backlog.order.push_back(key.to_owned());
        }
        drop(backlog);
        self.wake.notify_one();
    }

    fn wants(&self, key: &str, revision: u64) -> bool {
        key.starts_with(&self.prefix) && self.backlog.lock().known.get(key).is_none_or(|known| *known < revision)
    }

    fn close(&self) {
        self.backlog.lock().closed = true;
        self.wake.notify_one();
    }

    /// Returns the next change, or `None` after the registry was closed. Cancel safe.
    async fn next(&self) -> Option<Change> {
        loop {
            {
                let mut backlog = self.backlog.lock();
                if let Some(key) = backlog.order.pop_front() {
                    return backlog.newest.remove(&key);
                }
                if backlog.closed {
                    return None;
                }
            }
            // `notify_one` stores a permit if nothing waits yet, so a change between the check and the wait is not
            // lost.
            self.wake.notified().await;
        }
    }

    /// Returns the changes as a stream, which ends when the registry closes. A watcher serves one stream.
    pub fn changes(self: Arc<Self>) -> BoxStream<'static, Change> {
        stream::unfold(self, |watcher| async move { watcher.next().await.map(|change| (change, watcher)) }).boxed()
    }
}

/// All watchers of a registry. Their streams end when it is closed or dropped.
#[derive(Debug, Default)]
pub struct ChangeWatchers {
    watchers: Mutex<Vec<Weak<ChangeWatcher>>>,
}

impl ChangeWatchers {
    /// Adds a watcher of the keys that begin with `prefix`. Dropping it removes it.
    #[must_use]
    pub fn watch(&self, prefix: &str) -> Arc<ChangeWatcher> {
        let watcher =
            Arc::new(ChangeWatcher { prefix: prefix.to_owned(), backlog: Mutex::default(), wake: Notify::new() });
        self.watchers.lock().push(Arc::downgrade(&watcher));
        watcher
    }

    fn offer(&self, key: &str, revision: Option<u64>, change: impl Fn() -> Change) {
        self.watchers.lock().retain(|weak| match weak.upgrade() {
            Some(watcher) => {
                watcher.offer(key, revision, &change);
                true
            }
            None => false,
        });
    }

    /// Publishes a change. The caller publishes all changes of a key in order, and each once.
    pub fn publish_in_order(&self, key: &str, change: impl Fn() -> Change) {
        self.offer(key, None, change);
    }

    /// Publishes a change to the watchers that have not received this revision of the key or a newer one.
    pub fn publish_if_newer(&self, key: &str, revision: u64, change: impl Fn() -> Change) {
        self.offer(key, Some(revision), change);
    }

    /// Returns `true` if a watcher has not received this revision of the key or a newer one.
    #[must_use]
    pub fn wants(&self, key: &str, revision: u64) -> bool {
        let watchers: Vec<_> = self.watchers.lock().iter().filter_map(Weak::upgrade).collect();
        watchers.iter().any(|watcher| watcher.wants(key, revision))
    }

    /// Ends the streams of all watchers after the changes that they have not received yet.
    pub fn close(&self) {
        for watcher in self.watchers.lock().drain(..).filter_map(|weak| weak.upgrade()) {
            watcher.close();
        }
    }
}

impl Drop for ChangeWatchers {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RegistryEntry;
    use futures::FutureExt as _;

    fn put(key: &str, revision: u64) -> Change {
        Change::Put(RegistryEntry { key: key.to_owned(), value: "v".into(), revision })
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_watcher_receives_the_newest_change_of_each_key_in_order() {
        let watchers = ChangeWatchers::default();
        let mut changes = watchers.watch("a/").changes();
        for revision in 1..=100 {
            watchers.publish_in_order("a/1", || put("a/1", revision));
            watchers.publish_in_order("a/2", || put("a/2", revision));
            watchers.publish_in_order("b", || put("b", revision));
        }
        watchers.publish_in_order("a/1", || Change::Deleted("a/1".to_owned()));
        assert_eq!(changes.next().await, Some(Change::Deleted("a/1".to_owned())));
        assert_eq!(changes.next().await, Some(put("a/2", 100)));
        assert!(changes.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_is_delivered_once_and_an_older_one_never() {
        let watchers = ChangeWatchers::default();
        let mut changes = watchers.watch("").changes();
        let publish = |revision| watchers.publish_if_newer("k", revision, || put("k", revision));
        publish(5);
        assert_eq!(changes.next().await, Some(put("k", 5)));
        publish(5);
        publish(4);
        assert!(changes.next().now_or_never().is_none());
        assert!(!watchers.wants("k", 5) && watchers.wants("k", 6) && watchers.wants("other", 1));
        publish(6);
        assert_eq!(changes.next().await, Some(put("k", 6)));
        drop(changes);
        assert!(!watchers.wants("k", 7), "nobody watches");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_watcher_is_woken_by_a_change_and_by_the_end() {
        let watchers = ChangeWatchers::default();
        let mut changes = watchers.watch("k").changes();
        let waiting = tokio::spawn(async move { (changes.next().await, changes.next().await, changes.next().await) });
        tokio::task::yield_now().await;
        watchers.publish_in_order("k1", || put("k1", 1));
        tokio::task::yield_now().await;
        watchers.publish_in_order("k2", || put("k2", 2));
        drop(watchers);
        assert_eq!(waiting.await.unwrap(), (Some(put("k1", 1)), Some(put("k2", 2)), None));
    }
}
