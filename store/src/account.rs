//! The storage account: what each tenant keeps, and whether it may keep more.
//!
//! Bytes are reserved before they are written. A reservation that is dropped gives them back; one that is kept counts them
//! as used. What is used is known from counts of what is there (see [`Accounts::begin_count`]) and from what this process
//! wrote or removed since. Other processes of a fleet over the same store are seen at the next count.

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

/// Kinds of stored bytes.
const KINDS: usize = StorageKind::ALL.len();
/// How long a write waits for the first count after the start; then it is admitted by what is known.
const FIRST_COUNT: Duration = Duration::from_secs(10);
/// How long a measurement of the free space is believed.
const MEASURED: Duration = Duration::from_millis(100);

/// How accounts are opened.
#[derive(Debug, Clone, Default)]
pub struct AccountOptions {
    /// What a tenant without a quota of its own may keep. Default: no limit.
    pub quota: Option<u64>,
    /// Free space that tenants' writes leave. Default: none.
    pub floor: Option<DiskFloor>,
    /// Whether writes wait for the first count. Default: no.
    pub counted: bool,
}

/// Free space that stays on the disks beneath some folders, for what must always be written: the journal and the registry.
#[derive(Debug, Clone)]
pub struct DiskFloor {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// Bytes that stay free on each.
    pub bytes: u64,
}

#[derive(Default)]
struct Ledger {
    used: [i64; KINDS],
    /// Changes since the count that is under way began.
    since: [i64; KINDS],
    /// Reserved and not kept yet.
    reserved: u64,
}

impl Ledger {
    /// Bytes that count towards the quota, reserved ones included. Log lines have bounds of their own, at which they give way.
    fn total(&self) -> u64 {
        let counted = StorageKind::ALL.into_iter().zip(self.used).filter(|(kind, _)| *kind != StorageKind::Logs);
        let used: i64 = counted.map(|(_, bytes)| bytes.max(0)).sum();
        u64::try_from(used).unwrap_or(0).saturating_add(self.reserved)
    }

    /// The kind that counts most.
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
    /// Free space as it was measured last, on the fullest disk.
    free: Mutex<Option<(Instant, u64)>>,
    counted: watch::Sender<bool>,
    /// Who writes a path now.
    turns: Mutex<HashMap<object_store::path::Path, Arc<tokio::sync::Mutex<()>>>>,
}

/// The storage accounts of all tenants. Cloning is cheap.
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
    /// Accounts in which nothing is used yet.
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
            turns: Mutex::default(),
        }))
    }

    /// Sets what tenants with a quota of their own may keep. Others have the default.
    pub fn set_quotas(&self, quotas: HashMap<TenantId, Option<u64>>) {
        *self.0.quotas.write() = quotas;
    }

    /// Sets what one tenant may keep: `None` for the default.
    pub fn set_quota(&self, tenant: &TenantId, quota: Option<u64>) {
        let mut quotas = self.0.quotas.write();
        match quota {
            Some(quota) => drop(quotas.insert(tenant.clone(), Some(quota))),
            None => drop(quotas.remove(tenant)),
        }
    }

    /// What a tenant may keep; `None` for no limit.
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
            tracing::warn!("what is stored is not counted yet; a write is admitted by what is known");
        }
    }

    /// Reserves bytes at once.
    ///
    /// # Errors
    /// [`Error::OverQuota`], [`Error::DiskFull`].
    pub fn try_reserve(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) -> Result<Reservation, Error> {
        let mut reservation = Reservation { accounts: self.clone(), tenant: tenant.clone(), kind, bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Whether so many bytes could be reserved now, to spare the transfer of what can't be kept.
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

    /// Whether the disks have room for so many bytes above the floor.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub fn check_disk(&self, bytes: u64) -> Result<(), Error> {
        self.room_on_disk(bytes, 0)
    }

    /// The same for bytes that are written now: until the disks are measured again they count as gone.
    fn take_disk(&self, bytes: u64) -> Result<(), Error> {
        self.room_on_disk(bytes, bytes)
    }

    fn room_on_disk(&self, bytes: u64, written: u64) -> Result<(), Error> {
        let Some(floor) = &self.0.floor else { return Ok(()) };
        let mut measured = self.0.free.lock();
        let (at, free) = measured.filter(|(at, _)| at.elapsed() < MEASURED).unwrap_or_else(|| {
            let stat =
                |folder: &PathBuf| rustix::fs::statvfs(folder).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
            // A disk that can't be measured refuses writes by itself when it is full.
            (Instant::now(), floor.folders.iter().filter_map(stat).min().unwrap_or(u64::MAX))
        });
        let enough = free.saturating_sub(bytes) >= floor.bytes;
        *measured = Some((at, if enough { free.saturating_sub(written) } else { free }));
        if enough { Ok(()) } else { Err(Error::DiskFull { free: Some(free), floor: floor.bytes }) }
    }

    /// Counts bytes that are there already and can't be refused.
    pub fn add(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) {
        self.ledger(tenant).lock().change(kind, signed(bytes));
    }

    /// Counts bytes as gone.
    pub fn remove(&self, tenant: &TenantId, kind: StorageKind, bytes: u64) {
        self.ledger(tenant).lock().change(kind, -signed(bytes));
    }

    /// Begins a count of some kinds: what is written from now on is added to what it finds. One count of a kind at a time.
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

    /// Ends a count of some kinds: what was found of each tenant; of tenants that are not named, nothing was.
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

    /// Ends it.
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

    /// Says that the first count is done.
    pub fn counted(&self) {
        self.0.counted.send_replace(true);
    }

    /// What a tenant keeps, by kind.
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

    /// Bytes of each kind, of all tenants together.
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

    /// Tenants that keep something.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let ledgers = self.0.ledgers.read();
        ledgers.iter().filter(|(_, ledger)| ledger.lock().total() > 0).map(|(tenant, _)| tenant.clone()).collect()
    }
}

/// Folders of a path that are charged together as one entry.
const FOLDERS: usize = 8;

/// Bytes that an object is charged: its own, an entry for itself, and one for every eight folders that it lies in. An empty
/// object takes room as well.
pub(crate) fn object_bytes(path: &object_store::path::Path, size: u64) -> u64 {
    let folders = path.parts().count().saturating_sub(1) / FOLDERS;
    size.saturating_add(ENTRY_BYTES.saturating_mul(1 + folders as u64))
}

/// One tenant's account for one kind of bytes, and the turns of writers of one path: what a write replaces is only known
/// while nobody else writes there.
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

    /// Waits for this process's turn at a path.
    pub(crate) async fn turn(&self, path: &object_store::path::Path) -> Turn {
        let turn = Arc::clone(self.accounts.0.turns.lock().entry(path.clone()).or_default());
        let held = turn.lock_owned().await;
        Turn { accounts: self.accounts.clone(), path: path.clone(), held: Some(held) }
    }
}

/// The turn of one writer at a path.
pub(crate) struct Turn {
    accounts: Accounts,
    path: object_store::path::Path,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.accounts.0.turns.lock();
        self.held = None;
        if turns.get(&self.path).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.path);
        }
    }
}

/// Bytes set aside for a write. Dropped, they are free again.
#[derive(Debug)]
#[must_use = "a reservation that is dropped gives its bytes back"]
pub struct Reservation {
    accounts: Accounts,
    tenant: TenantId,
    kind: StorageKind,
    bytes: u64,
}

impl Reservation {
    /// Reserves more.
    ///
    /// # Errors
    /// As for [`Accounts::reserve`]; what was reserved before stays so.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        self.accounts.admit(&self.tenant, self.kind, bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Counts what is reserved as used, in place of `replaced` bytes of the same kind that are gone.
    pub fn keep(self, replaced: u64) {
        let bytes = self.bytes;
        self.keep_only(bytes, replaced);
    }

    /// The same of a part; the rest is free again.
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
    #![allow(clippy::unwrap_used)]
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
        // Log lines are apart.
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
