//! Locks by name: writers of one process take turns instead of racing each other in the store, where a lost race costs
//! requests. Several names may share a lock; that costs time and nothing else.

use std::hash::{BuildHasher as _, RandomState};
use tokio::sync::{Mutex, MutexGuard};

/// Locks.
const LOCKS: usize = 64;

pub(crate) struct Turns {
    locks: Vec<Mutex<()>>,
    hash: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { locks: std::iter::repeat_with(Mutex::default).take(LOCKS).collect(), hash: RandomState::new() }
    }

    /// Waits for the name's turn, which ends when the answer is dropped.
    pub(crate) async fn wait(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        let at = usize::try_from(self.hash.hash_one(name) % LOCKS as u64).unwrap_or(0);
        match self.locks.get(at) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}
