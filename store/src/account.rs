//! Storage accounts: the stored bytes of each tenant, checked against its quota.
//!
//! Bytes are reserved before they are written. Dropping a reservation releases them; keeping it counts them as used.
//! The used bytes come from periodic counts of the stored data (see [`Accounts::begin_count`]) and from the writes and
//! deletions of this process since. Writes of other processes of a fleet are included at the next count.

use crate::{Error, over_quota::OverQuota};
use fabric_types::{
    id::TenantId,
    storage::{ENTRY_BYTES, Storage, StorageKind, StorageLine},
    units::ByteSize,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Number of storage kinds.
const KINDS: usize = StorageKind::ALL.len();
/// Maximum time that a write waits for the first count after the start. Later it is admitted based on partial counts.
const FIRST_COUNT: Duration = Duration::from_secs(10);
/// Validity of a measurement of free space.
const MEASURED: Duration = Duration::from_millis(100);

/// Options of storage accounts.
#[derive(Debug, Clone, Default)]
pub struct AccountOptions {
    /// Quota in bytes of a tenant without its own. Default: no limit.
    pub quota: Option<u64>,
    /// Free disk space that tenants' writes must leave. Default: none.
    pub floor: Option<DiskFloor>,
    /// Makes writes wait for the first count. Default: `false`.
    pub counted: bool,
}

/// Free space that must stay on the disks of some folders, for data that must always be writable: the journal and the
/// registry.
#[derive(Debug, Clone)]
pub struct DiskFloor {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// Bytes that must stay free on each disk.
    pub bytes: u64,
}

#[derive(Default)]
struct Ledger {
    used: [i64; KINDS],
    /// Changes since the current count began.
    since: [i64; KINDS],
    /// Bytes reserved and not kept yet.
    reserved: u64,
}

impl Ledger {
    /// Returns the bytes that count towards the quota, including reserved ones. Log lines are excluded, since they have
    /// limits of their own.
    fn total(&self) -> u64 {
        let counted = StorageKind::ALL.into_iter().zip(self.used).filter(|(kind, _)| *kind != StorageKind::Logs);
        let used: i64 = counted.map(|(_, bytes)| bytes.max(0)).sum();
        u64::try_from(used).unwrap_or(0).saturating_add(self.reserved)
    }

    /// Returns the kind with the most bytes.
    fn most(&self) -> Option<(StorageKind, i64)> {
        let counted = StorageKind::ALL.into_iter().zip(self.used).filter(|(kind, _)| *kind != StorageKind::Logs);
        counted.max_by_key(|(_, bytes)| *bytes)
    }

    fn change(&mut self, kind: StorageKind, bytes: i64) {
        if let Some(used) = self.used.get_mut(kind.index()) {
            *used = used.saturating_add(bytes).max(0);
        }
        if let Some(since) = self.since.get_mut(kind.index()) {
            *since = since.saturating_add(bytes);
        }
    }
}

struct Inner {
    default_quota: Option<u64>,
    quotas: RwLock<HashMap<TenantId, Option<u64>>>,
    ledgers: RwLock<HashMap<TenantId, Arc<Mutex<Ledger>>>>,
    floor: Option<DiskFloor>,
    /// The last measured free space, of the fullest disk.
    free: Mutex<Option<(Instant, u64)>>,
    counted: watch::Sender<bool>,
    /// A lock per path for its writers.
    path_locks: Mutex<HashMap<object_store::path::Path, Arc<tokio::sync::Mutex<()>>>>,
}

/// The storage accounts of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

impl Default for Accounts {
    fn default() -> Self {
        Self::new(AccountOptions::default())
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Accounts {
    /// Creates accounts without used bytes.
    #[must_use]
    pub fn new(options: AccountOptions) -> Self {
        let AccountOptions { quota, floor, counted } = options;
        Self(Arc::new(Inner {
            default_quota: quota,
            quotas: RwLock::default(),
            ledgers: RwLock::default(),
            floor,
            free: Mutex::default(),
            counted: watch::Sender::new(!counted),
            path_locks: Mutex::default(),
        }))
    }

    /// Sets the quotas of tenants with their own. The default applies to all others.
    pub fn set_quotas(&self, quotas: HashMap<TenantId, Option<u64>>) {
        *self.0.quotas.write() = quotas;
    }

    /// Sets the quota of one tenant; `None` for the default.
    pub fn set_quota(&self, tenant: &TenantId, quota: Option<u64>) {
        let mut quotas = self.0.quotas.write();
        match quota {
            Some(quota) => drop(quotas.insert(tenant.clone(), Some(quota))),
            None => drop(quotas.remove(tenant)),
        }
    }

    /// Returns the quota of a tenant; `None` for no limit.
    #[must_use]
    pub fn quota(&self, tenant: &TenantId) -> Option<u64> {
        self.0.quotas.read().get(tenant).copied().flatten().or(self.0.default_quota)
    }

    fn ledger(&self, tenant: &TenantId) -> Arc<Mutex<Ledger>> {
        if let Some(ledger) = self.0.ledgers.read().get(tenant) {
            return Arc::clone(ledger);
        }
        Arc::clone(self.0.ledgers.write().entry(tenant.clone()).or_default())
    }

    /// Reserves bytes, after the first count.
    ///
    /// # Errors
    /// [`Error::OverQuota`], [`Error::DiskFull`].
    pub async fn reserve(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<Reservation, Error> {
        self.wait_counted().await;
        self.try_reserve(tenant, kind, bytes)
    }

    async fn wait_counted(&self) {
        let mut counted = self.0.counted.subscribe();
        if *counted.borrow() {
            return;
        }
        if tokio::time::timeout(FIRST_COUNT, counted.wait_for(|counted| *counted)).await.is_err() {
            tracing::warn!("first storage count is not done, admitting a write by partial counts");
        }
    }

    /// Reserves bytes without waiting.
    ///
    /// # Errors
    /// [`Error::OverQuota`], [`Error::DiskFull`].
    pub fn try_reserve(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<Reservation, Error> {
        let mut reservation = Reservation { accounts: self.clone(), tenant: tenant.clone(), kind, bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Checks that `bytes` could be reserved now, to avoid the transfer of data that cannot be stored.
    ///
    /// # Errors
    /// As for [`Self::reserve`].
    pub async fn check(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<(), Error> {
        self.check_disk(bytes)?;
        self.wait_counted().await;
        let ledger = self.ledger(tenant);
        let ledger = ledger.lock();
        self.check_quota(&ledger, tenant, kind, bytes)
    }

    fn admit(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.take_disk(bytes)?;
        let ledger = self.ledger(tenant);
        let mut ledger = ledger.lock();
        self.check_quota(&ledger, tenant, kind, bytes)?;
        ledger.reserved = ledger.reserved.saturating_add(bytes);
        Ok(())
    }

    fn check_quota(&self, ledger: &Ledger, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<(), Error> {
        let total = ledger.total();
        let Some(quota) = self.quota(tenant).filter(|quota| total.saturating_add(bytes) > *quota) else {
            return Ok(());
        };
        let (most, most_bytes) = ledger.most().unwrap_or((kind, 0));
        Err(Error::OverQuota(Box::new(OverQuota {
            tenant: tenant.clone(),
            kind,
            wanted: bytes,
            used: total.saturating_sub(ledger.reserved),
            reserved: ledger.reserved,
            quota,
            most,
            most_bytes: u64::try_from(most_bytes).unwrap_or(0),
        })))
    }

    /// Checks that the disks have room for `bytes` above the floor.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub fn check_disk(&self, bytes: u64) -> Result<(), Error> {
        self.room_on_disk(bytes, 0)
    }

    /// Like [`Self::check_disk`] for bytes that are written now. They are subtracted until the disks are measured
    /// again.
    fn take_disk(&self, bytes: u64) -> Result<(), Error> {
        self.room_on_disk(bytes, bytes)
    }

    fn room_on_disk(&self, bytes: u64, written: u64) -> Result<(), Error> {
        let Some(floor) = &self.0.floor else { return Ok(()) };
        let mut measured = self.0.free.lock();
        let (at, free) = measured.filter(|(at, _)| at.elapsed() < MEASURED).unwrap_or_else(|| {
            let stat =
                |folder: &PathBuf| rustix::fs::statvfs(folder).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
            // A disk that cannot be measured refuses writes itself when it is full.
            (Instant::now(), floor.folders.iter().filter_map(stat).min().unwrap_or(u64::MAX))
        });
        let enough = free.saturating_sub(bytes) >= floor.bytes;
        *measured = Some((at, if enough { free.saturating_sub(written) } else { free }));
        if enough { Ok(()) } else { Err(Error::DiskFull { free: Some(free), floor: floor.bytes }) }
    }

    /// Adds bytes that are already stored and cannot be refused.
    pub fn add(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) {
        self.ledger(tenant).lock().change(kind, signed(bytes));
    }

    /// Subtracts deleted bytes.
    pub fn remove(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) {
        self.ledger(tenant).lock().change(kind, -signed(bytes));
    }

    /// Begins a count of some kinds. Later writes are added to its result. Only one count of a kind may run at a time.
    pub fn begin_count(&self, kinds: &[StorageKind]) {
        for ledger in self.0.ledgers.read().values() {
            let mut ledger = ledger.lock();
            for kind in kinds {
                if let Some(since) = ledger.since.get_mut(kind.index()) {
                    *since = 0;
                }
            }
        }
    }

    /// Ends a count of some kinds with the bytes found per tenant. A missing tenant has none.
    pub fn end_count(&self, kinds: &[StorageKind], found: &HashMap<TenantId, HashMap<StorageKind, u64>>) {
        for tenant in found.keys() {
            self.ledger(tenant);
        }
        for (tenant, ledger) in self.0.ledgers.read().iter() {
            let mut ledger = ledger.lock();
            let ledger = &mut *ledger;
            for kind in kinds {
                let found = found.get(tenant).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0);
                let (used, since) = (ledger.used.get_mut(kind.index()), ledger.since.get(kind.index()));
                if let (Some(used), Some(since)) = (used, since) {
                    *used = signed(found).saturating_add(*since).max(0);
                }
            }
        }
    }

    /// Begins a count of one kind of one tenant.
    pub fn begin_count_of(&self, tenant: &TenantId, kind: StorageKind) {
        if let Some(since) = self.ledger(tenant).lock().since.get_mut(kind.index()) {
            *since = 0;
        }
    }

    /// Ends a count of one kind of one tenant.
    pub fn end_count_of(&self, tenant: &TenantId, kind: StorageKind, found: u64) {
        let ledger = self.ledger(tenant);
        let mut ledger = ledger.lock();
        let since = ledger.since.get(kind.index()).copied().unwrap_or(0);
        if let Some(used) = ledger.used.get_mut(kind.index()) {
            *used = signed(found).saturating_add(since).max(0);
        }
    }

    /// Sets the bytes of one kind.
    pub fn set(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) {
        if let Some(used) = self.ledger(tenant).lock().used.get_mut(kind.index()) {
            *used = signed(bytes);
        }
    }

    /// Marks the first count as done.
    pub fn counted(&self) {
        self.0.counted.send_replace(true);
    }

    /// Returns a tenant's stored bytes by kind.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Storage {
        let found = self.0.ledgers.read().get(tenant).cloned().unwrap_or_default();
        let ledger = found.lock();
        let line = |(kind, bytes): (StorageKind, i64)| StorageLine {
            kind,
            bytes: ByteSize(u64::try_from(bytes).unwrap_or(0)),
        };
        Storage {
            used_bytes: ByteSize(ledger.total()),
            quota_bytes: self.quota(tenant).map(ByteSize),
            kinds: StorageKind::ALL.into_iter().zip(ledger.used).map(line).collect(),
        }
    }

    /// Returns the bytes of each kind over all tenants.
    #[must_use]
    pub fn of_all(&self) -> Vec<(StorageKind, u64)> {
        let mut all = [0u64; KINDS];
        for ledger in self.0.ledgers.read().values() {
            for (sum, bytes) in all.iter_mut().zip(ledger.lock().used) {
                *sum = sum.saturating_add(u64::try_from(bytes).unwrap_or(0));
            }
        }
        StorageKind::ALL.into_iter().zip(all).collect()
    }

    /// Returns the tenants with stored bytes.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let ledgers = self.0.ledgers.read();
        ledgers.iter().filter(|(_, ledger)| ledger.lock().total() > 0).map(|(tenant, _)| tenant.clone()).collect()
    }
}

/// Number of folders of a path that are charged as one entry.
const FOLDERS: usize = 8;

/// Returns the bytes charged for an object: its size, an entry for itself, and one for every eight folders of its path.
/// An empty object takes space as well.
pub(crate) fn object_bytes(path: &object_store::path::Path, size: u64) -> u64 {
    let folders = path.parts().count().saturating_sub(1) / FOLDERS;
    size.saturating_add(ENTRY_BYTES.saturating_mul(1 + folders as u64))
}

/// A tenant's account for one kind of bytes, and the locks on paths: the bytes that a write replaces are only known
/// while no other writer changes the path.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) accounts: Accounts,
    pub(crate) tenant: TenantId,
    pub(crate) kind: StorageKind,
}

impl Account {
    pub(crate) async fn reserve(&self, bytes: u64) -> Result<Reservation, Error> {
        self.accounts.reserve(&self.tenant, self.kind, bytes).await
    }

    pub(crate) fn remove(&self, bytes: u64) {
        self.accounts.remove(&self.tenant, self.kind, bytes);
    }

    /// Locks a path among the writers of this process.
    pub(crate) async fn lock_path(&self, path: &object_store::path::Path) -> PathLock {
        let lock = Arc::clone(self.accounts.0.path_locks.lock().entry(path.clone()).or_default());
        let held = lock.lock_owned().await;
        PathLock { accounts: self.accounts.clone(), path: path.clone(), held: Some(held) }
    }
}

/// The lock of one writer on a path.
pub(crate) struct PathLock {
    accounts: Accounts,
    path: object_store::path::Path,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for PathLock {
    fn drop(&mut self) {
        let mut path_locks = self.accounts.0.path_locks.lock();
        self.held = None;
        if path_locks.get(&self.path).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            path_locks.remove(&self.path);
        }
    }
}

/// Bytes reserved for a write. Dropping the reservation releases them.
#[derive(Debug)]
#[must_use = "a reservation that is dropped gives its bytes back"]
pub struct Reservation {
    accounts: Accounts,
    tenant: TenantId,
    kind: StorageKind,
    bytes: u64,
}

impl Reservation {
    /// Reserves more bytes.
    ///
    /// # Errors
    /// As for [`Accounts::reserve`]; the earlier reservation stays.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        self.accounts.admit(&self.tenant, self.kind, bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Counts the reserved bytes as used, in place of `replaced` bytes of the same kind.
    pub fn keep(self, replaced: u64) {
        let bytes = self.bytes;
        self.keep_only(bytes, replaced);
    }

    /// Like [`Self::keep`] for a part of the reservation. The rest is released.
    pub fn keep_only(mut self, bytes: u64, replaced: u64) {
        let ledger = self.accounts.ledger(&self.tenant);
        let mut ledger = ledger.lock();
        ledger.reserved = ledger.reserved.saturating_sub(self.bytes);
        ledger.change(self.kind, signed(bytes).saturating_sub(signed(replaced)));
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let ledger = self.accounts.ledger(&self.tenant);
            let mut ledger = ledger.lock();
            ledger.reserved = ledger.reserved.saturating_sub(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn accounts(quota: u64) -> Accounts {
        Accounts::new(AccountOptions { quota: Some(quota), ..AccountOptions::default() })
    }

    fn used(accounts: &Accounts, name: &str) -> u64 {
        accounts.of(&tenant(name)).used_bytes.0
    }

    #[test]
    fn an_object_takes_room_for_its_name_and_folders_too() {
        let of = |path: &str, size| object_bytes(&object_store::path::Path::from(path), size);
        assert_eq!(of("t/objects/a", 0), ENTRY_BYTES);
        assert_eq!(of("t/objects/a", 10), ENTRY_BYTES + 10);
        let deep = format!("t/objects/{}a", "d/".repeat(510));
        assert_eq!(of(&deep, 0), ENTRY_BYTES * (1 + 512 / 8));
        assert_eq!(of("a", u64::MAX), u64::MAX);
    }

    #[test]
    fn bytes_are_refused_before_they_are_written_and_free_again_when_they_were_not() {
        let (accounts, a) = (accounts(100), tenant("a"));
        let mut first = accounts.try_reserve(&a, StorageKind::Objects, 60).unwrap();
        assert!(accounts.try_reserve(&a, StorageKind::Results, 41).is_err());
        accounts.try_reserve(&tenant("b"), StorageKind::Results, 100).unwrap().keep(0);
        first.grow(40).unwrap();
        let Err(Error::OverQuota(over)) = first.grow(1) else { unreachable!() };
        assert_eq!((over.used, over.reserved, over.quota, over.wanted), (0, 100, 100, 1));
        drop(first);
        assert_eq!((used(&accounts, "a"), used(&accounts, "b")), (0, 100));
        accounts.try_reserve(&a, StorageKind::Objects, 100).unwrap().keep_only(30, 0);
        accounts.try_reserve(&a, StorageKind::Objects, 70).unwrap().keep(30);
        assert_eq!(used(&accounts, "a"), 70);
        accounts.remove(&a, StorageKind::Objects, 70);
        assert_eq!(used(&accounts, "a"), 0);
    }

    #[test]
    fn racing_writers_share_the_last_bytes_exactly() {
        let accounts = accounts(1_000);
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let reserve = || accounts.try_reserve(&tenant("a"), StorageKind::Objects, 10);
                        (0..100).filter(|_| reserve().map(|r| r.keep(0)).is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!((won, used(&accounts, "a")), (100, 1_000));
    }

    #[test]
    fn a_count_keeps_what_was_written_meanwhile() {
        let (accounts, a) = (accounts(1_000), tenant("a"));
        accounts.add(&a, StorageKind::Objects, 500);
        accounts.add(&a, StorageKind::Logs, 7);
        accounts.add(&tenant("gone"), StorageKind::Objects, 5);
        let reserved = accounts.try_reserve(&a, StorageKind::Objects, 100).unwrap();
        accounts.begin_count(&[StorageKind::Objects]);
        accounts.add(&a, StorageKind::Objects, 1);
        let found = HashMap::from([(a.clone(), HashMap::from([(StorageKind::Objects, 300)]))]);
        accounts.end_count(&[StorageKind::Objects], &found);
        // Log lines do not count.
        assert_eq!(used(&accounts, "a"), 300 + 1 + 100);
        reserved.keep(0);
        assert_eq!((used(&accounts, "a"), used(&accounts, "gone")), (401, 0));
    }

    #[test]
    fn a_quota_of_its_own_replaces_the_default() {
        let (accounts, a) = (accounts(10), tenant("a"));
        accounts.set_quota(&a, Some(20));
        assert!(accounts.try_reserve(&a, StorageKind::Objects, 20).is_ok());
        accounts.set_quota(&a, None);
        assert!(accounts.try_reserve(&a, StorageKind::Objects, 11).is_err());
    }

    #[test]
    fn the_floor_of_the_disk_stays_free() {
        let folder = tempfile::tempdir().unwrap();
        let stat = rustix::fs::statvfs(folder.path()).unwrap();
        let floor = |bytes| Some(DiskFloor { folders: vec![folder.path().to_owned()], bytes });
        let with = |bytes| Accounts::new(AccountOptions { floor: floor(bytes), ..AccountOptions::default() });
        let reserve = |accounts: Accounts| accounts.try_reserve(&tenant("a"), StorageKind::Objects, 1);
        assert!(reserve(with(0)).is_ok());
        assert!(matches!(reserve(with(stat.f_blocks * stat.f_frsize)), Err(Error::DiskFull { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_for_the_first_count_but_not_for_ever() {
        let accounts = Accounts::new(AccountOptions { quota: Some(10), counted: true, ..AccountOptions::default() });
        let a = tenant("a");
        accounts.reserve(&a, StorageKind::Objects, 1).await.unwrap().keep(0);
        let waits = accounts.reserve(&a, StorageKind::Objects, 5);
        let counts = async {
            accounts.set(&a, StorageKind::Objects, 8);
            accounts.counted();
        };
        let (refused, ()) = tokio::join!(waits, counts);
        assert!(refused.is_err());
    }
}
