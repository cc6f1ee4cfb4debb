//! What the sandbox tells of itself: counts on demand, and durations as they happen.

use fabric_types::function::EntryKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// Told of durations as they happen; called on the path of every call, so it must be quick and must not block.
pub trait Observer: Send + Sync + 'static {
    /// An instance was made, in microseconds.
    fn instantiated(&self, kind: EntryKind, micros: u64);
    /// A call ended, in microseconds of wall clock from the start of the instance; `fuel` was spent.
    fn called(&self, kind: EntryKind, micros: u64, fuel: u64, ok: bool);
    /// A call had the GPU for so many microseconds.
    fn used_gpu(&self, micros: u64) {
        let _ = micros;
    }
    /// A module was compiled, in milliseconds.
    fn compiled(&self, millis: u64) {
        let _ = millis;
    }
}

/// Counts since the start, except where it says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostStats {
    /// Instances alive now.
    pub live: u64,
    /// Instances that can be alive at once.
    pub pool: u64,
    /// Instances made.
    pub instances: u64,
    /// Loads answered from memory.
    pub memory_hits: u64,
    /// Loads answered by a compiled module on disk.
    pub disk_hits: u64,
    /// Modules compiled.
    pub compiled: u64,
    /// Compiled modules on disk that did not check and were made again.
    pub corrupt: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub instances: AtomicU64,
    pub loads: AtomicU64,
    pub misses: AtomicU64,
    pub disk_hits: AtomicU64,
    pub compiled: AtomicU64,
    pub corrupt: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self, live: u64, pool: u64) -> HostStats {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        HostStats {
            live,
            pool,
            instances: get(&self.instances),
            memory_hits: get(&self.loads).saturating_sub(get(&self.misses)),
            disk_hits: get(&self.disk_hits),
            compiled: get(&self.compiled),
            corrupt: get(&self.corrupt),
        }
    }
}
