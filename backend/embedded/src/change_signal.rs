//! Change signals for registry watchers and journal followers in this process. A slow watcher receives only the newest
//! change of each key, in the order in which the keys first changed. Its backlog is therefore bounded by the number of
//! keys under its prefix, including those deleted in the meantime.

use fabric_backend::registry::Change;
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

/// A watcher of the registry.
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

    /// Returns the next change, or `None` after the registry was closed. Cancel safe.
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
            // `notify_one` stores a permit if nothing waits yet, so a change between the check and the wait is not
            // lost.
            self.wake.notified().await;
        }
    }
}

/// The change signal of one journal stream.
#[derive(Default)]
pub(super) struct ChangeSignal {
    ended: AtomicBool,
    wake: Notify,
}

impl ChangeSignal {
    /// Returns `true` if the stream was deleted or the journal was closed.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves at the next signal after this call, even if the future was not polled before the signal.
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
pub(super) struct ChangeSignals {
    watchers: Mutex<Vec<Weak<Watcher>>>,
    streams: Mutex<HashMap<String, Weak<ChangeSignal>>>,
}

impl ChangeSignals {
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

    /// Returns the change signal of a stream. All its followers share it.
    pub(super) fn follow(&self, stream: &str) -> Arc<ChangeSignal> {
        let mut streams = self.streams.lock();
        if let Some(bell) = streams.get(stream).and_then(Weak::upgrade) {
            return bell;
        }
        // Signals without followers are removed before the map would grow.
        if streams.len() == streams.capacity() {
            streams.retain(|_, bell| bell.strong_count() > 0);
        }
        let bell = Arc::new(ChangeSignal::default());
        streams.insert(stream.to_owned(), Arc::downgrade(&bell));
        bell
    }

    pub(super) fn appended(&self, stream: &str) {
        if let Some(bell) = self.streams.lock().get(stream).and_then(Weak::upgrade) {
            bell.wake.notify_waiters();
        }
    }

    /// Ends the followers of a deleted stream, even if a stream of the same name is created later.
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
