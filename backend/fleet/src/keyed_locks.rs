//! Locks by name. Writers of one process wait for each other instead of racing in the store, where a lost race costs
//! requests. Several names may share a lock, which costs only time.

use std::hash::{BuildHasher as _, RandomState};
use tokio::sync::{Mutex, MutexGuard};

/// Number of locks.
const LOCKS: usize = 64;

pub(crate) struct KeyedLocks {
    locks: Vec<Mutex<()>>,
    hash: RandomState,
}

impl KeyedLocks {
    pub(crate) fn new() -> Self {
        Self { locks: std::iter::repeat_with(Mutex::default).take(LOCKS).collect(), hash: RandomState::new() }
    }

    /// Locks `name` until the returned guard is dropped.
    pub(crate) async fn wait(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        let at = usize::try_from(self.hash.hash_one(name) % LOCKS as u64).unwrap_or(0);
        match self.locks.get(at) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}
