//! Metrics of the sandbox: counters on request, and durations as they occur.

use fabric_types::function::EntryKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// A receiver of durations. It is called on the path of every call, so it must be fast and must not block.
pub trait Observer: Send + Sync + 'static {
    /// Records the creation of an instance, and its duration in microseconds.
    fn instantiated(&self, kind: EntryKind, micros: u64);
    /// Records the end of a call: wall-clock time since the start of the instance in microseconds, and fuel spent.
    fn called(&self, kind: EntryKind, micros: u64, fuel: u64, ok: bool);
    /// Records the GPU device time of a call, in microseconds.
    fn used_gpu(&self, micros: u64) {
        let _ = micros;
    }
    /// Records the compilation of a module, and its duration in milliseconds.
    fn compiled(&self, millis: u64) {
        let _ = millis;
    }
}

/// Counters since the start, unless a field states otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostStats {
    /// Instances that are live now.
    pub live: u64,
    /// Maximum number of live instances.
    pub pool: u64,
    /// Instances created.
    pub instances: u64,
    /// Loads served from memory.
    pub memory_hits: u64,
    /// Loads served by a compiled module on disk.
    pub disk_hits: u64,
    /// Modules compiled.
    pub compiled: u64,
    /// Compiled modules on disk that failed their check and were compiled again.
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
