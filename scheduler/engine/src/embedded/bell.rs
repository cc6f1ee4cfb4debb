//! Tells watchers and followers inside this process that something was committed. A watcher that sleeps finds the newest
//! change of each key, in the order in which the keys first changed; so what waits for it is bounded by the keys that
//! exist under its prefix and those that were removed meanwhile.

use crate::registry::Change;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

#[derive(Default)]
struct Backlog {
    order: VecDeque<String>,
    newest: HashMap<String, Change>,
    closed: bool,
}

/// One watcher of the registry.
pub(super) struct Watcher {
    prefix: String,
    backlog: Mutex<Backlog>,
    wake: Notify,
}

impl Watcher {
    fn offer(&self, key: &str, change: &Change) {
        if !key.starts_with(&self.prefix) {
            return;
        }
        let mut backlog = self.backlog.lock();
        if backlog.newest.insert(key.to_owned(), change.clone()).is_none() {
            backlog.order.push_back(key.to_owned());
        }
        drop(backlog);
        self.wake.notify_one();
    }

    /// The next change; `None` once the registry is closed. Cancel safe.
    pub(super) async fn next(&self) -> Option<Change> {
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
            // `notify_one` leaves a permit when nobody waits yet, so a change between the look and the wait isn't lost.
            self.wake.notified().await;
        }
    }
}

/// Rings for one stream of the journal.
#[derive(Default)]
pub(super) struct Bell {
    ended: AtomicBool,
    wake: Notify,
}

impl Bell {
    /// Whether the stream was deleted or the journal closed.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves at the next ring after this call, even if it is not polled before it.
    pub(super) fn rung(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }
}

/// All watchers and followers.
#[derive(Default)]
pub(super) struct Bells {
    watchers: Mutex<Vec<Weak<Watcher>>>,
    streams: Mutex<HashMap<String, Weak<Bell>>>,
}

impl Bells {
    pub(super) fn watch(&self, prefix: &str) -> Arc<Watcher> {
        let watcher = Arc::new(Watcher { prefix: prefix.to_owned(), backlog: Mutex::default(), wake: Notify::new() });
        self.watchers.lock().push(Arc::downgrade(&watcher));
        watcher
    }

    pub(super) fn changed(&self, key: &str, change: &Change) {
        self.watchers.lock().retain(|weak| match weak.upgrade() {
            Some(watcher) => {
                watcher.offer(key, change);
                true
            }
            None => false,
        });
    }

    /// The bell of a stream, shared by all who follow it.
    pub(super) fn follow(&self, stream: &str) -> Arc<Bell> {
        let mut streams = self.streams.lock();
        if let Some(bell) = streams.get(stream).and_then(Weak::upgrade) {
            return bell;
        }
        // Bells that nobody follows any more go whenever the map would grow.
        if streams.len() == streams.capacity() {
            streams.retain(|_, bell| bell.strong_count() > 0);
        }
        let bell = Arc::new(Bell::default());
        streams.insert(stream.to_owned(), Arc::downgrade(&bell));
        bell
    }

    pub(super) fn appended(&self, stream: &str) {
        if let Some(bell) = self.streams.lock().get(stream).and_then(Weak::upgrade) {
            bell.wake.notify_waiters();
        }
    }

    /// Those who follow a deleted stream are done, even if another of the same name begins.
    pub(super) fn deleted(&self, stream: &str) {
        if let Some(bell) = self.streams.lock().remove(stream).and_then(|weak| weak.upgrade()) {
            bell.end();
        }
    }

    pub(super) fn close(&self) {
        for watcher in self.watchers.lock().drain(..).filter_map(|weak| weak.upgrade()) {
            watcher.backlog.lock().closed = true;
            watcher.wake.notify_one();
        }
        for (_, bell) in self.streams.lock().drain() {
            if let Some(bell) = bell.upgrade() {
                bell.end();
            }
        }
    }
}
