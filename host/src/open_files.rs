//! Limits on the file descriptors that guests hold in this process.
//!
//! Connections, databases and the store need descriptors too, and a process without free ones can't serve anybody.
//! Guests may use the descriptors below a reserve, and those of one tenant half of them.

use fabric_types::id::TenantId;
use parking_lot::Mutex;
use rustix::{
    fd::AsRawFd as _,
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit},
};
use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Descriptors reserved for the rest of the process: twice the default number of connections. At most half of the
/// limit.
const RESERVED: u64 = 8192;
/// Limit if the system sets none.
const UNLIMITED: u64 = 1 << 20;

/// The descriptors of all guests.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    /// Number of the process's descriptors, including those of guests, at which guests may not open more.
    max_descriptors: u64,
    /// Maximum number of descriptors held by guests of one tenant.
    per_tenant: u64,
    /// A descriptor to duplicate. `None` if the system has no `/dev/null`.
    probe: Option<File>,
    tenants: Mutex<HashMap<TenantId, Arc<AtomicU64>>>,
}

impl OpenFiles {
    /// Derives the bounds from this process's current limit.
    pub(crate) fn new() -> Self {
        Self::with_limit(getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED))
    }

    fn with_limit(limit: u64) -> Self {
        let max_descriptors = limit - RESERVED.min(limit / 2);
        Self {
            max_descriptors,
            per_tenant: max_descriptors / 2,
            probe: File::open("/dev/null").ok(),
            tenants: Mutex::default(),
        }
    }

    /// Returns the account of one call.
    pub(crate) fn open_call(self: &Arc<Self>, tenant: &TenantId) -> CallFiles {
        let of_tenant = self.tenants.lock().entry(tenant.clone()).or_default().clone();
        CallFiles { all: self.clone(), of_tenant, own: 0 }
    }

    /// Returns `true` if the process may open another descriptor. A new descriptor has the lowest free number, which is
    /// therefore a lower bound for the number of open ones.
    fn has_room(&self) -> bool {
        let Some(probe) = &self.probe else { return true };
        fcntl_dupfd_cloexec(probe, 0)
            .is_ok_and(|fd| u64::try_from(fd.as_raw_fd()).is_ok_and(|n| n < self.max_descriptors))
    }
}

/// The descriptor account of one call.
#[derive(Debug)]
pub(crate) struct CallFiles {
    all: Arc<OpenFiles>,
    of_tenant: Arc<AtomicU64>,
    own: u64,
}

impl CallFiles {
    /// Counts one more descriptor. Returns `false` if it may not be opened.
    pub(crate) fn try_open(&mut self) -> bool {
        if self.of_tenant.load(Relaxed) >= self.all.per_tenant || !self.all.has_room() {
            return false;
        }
        self.of_tenant.fetch_add(1, Relaxed);
        self.own += 1;
        true
    }

    /// Corrects the count after descriptors were closed or could not be opened.
    pub(crate) fn set(&mut self, open: u64) {
        self.of_tenant.fetch_add(open, Relaxed);
        self.of_tenant.fetch_sub(self.own, Relaxed);
        self.own = open;
    }
}

impl Drop for CallFiles {
    fn drop(&mut self) {
        self.of_tenant.fetch_sub(self.own, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_half_and_gives_back_what_it_closes() {
        let all =
            Arc::new(OpenFiles { max_descriptors: u64::MAX, per_tenant: 10, probe: None, tenants: Mutex::default() });
        let [a, b] = ["a", "b"].map(|name| TenantId::new(name).unwrap());
        let (mut first, mut second, mut other) = (all.open_call(&a), all.open_call(&a), all.open_call(&b));
        assert_eq!((0..20).filter(|_| first.try_open()).count(), 10);
        assert!(!second.try_open() && other.try_open());
        first.set(4);
        assert_eq!((0..20).filter(|_| second.try_open()).count(), 6);
        drop(first);
        assert_eq!((0..20).filter(|_| second.try_open()).count(), 4);
    }

    #[test]
    fn guests_leave_a_reserve() {
        let few = OpenFiles { max_descriptors: 0, ..OpenFiles::with_limit(1024) };
        assert!(!few.has_room());
        assert_eq!(
            (OpenFiles::with_limit(1024).max_descriptors, OpenFiles::with_limit(65_536).max_descriptors),
            (512, 57_344)
        );
        assert!(OpenFiles::with_limit(65_536).has_room());
    }
}
