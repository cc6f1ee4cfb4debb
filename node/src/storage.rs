//! Keeps the storage accounts accurate: counts all data at the start and periodically, follows the tenants' quotas, and
//! recounts a tenant's volumes after its guests wrote to them.

use crate::volume_walk::{removed_but_open, walk};
use fabric_backend::{
    Backend,
    maintenance::Sizes,
    registry::{Change, RegistryEntry},
};
use fabric_host::{VolumeCharge, VolumeMeter, VolumeRefusal};
use fabric_index::Index;
use fabric_store::{Accounts, Error, Reservation, Store};
use fabric_types::{
    Fault,
    id::TenantId,
    quota::Quota,
    storage::{ENTRY_BYTES, StorageKind},
};
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

/// Registry prefix of the tenants' quotas.
const QUOTAS: &str = "sys/quota/";
/// Quotas per page when listing the registry.
const PAGE: usize = 1000;
/// Delay after a failed count.
const AGAIN: Duration = Duration::from_secs(5);
/// Time that changes of volumes are gathered before they are counted.
const GATHER: Duration = Duration::from_millis(500);
/// Minimum interval between recounts of a tenant's volumes after refused writes, and the maximum number of entries for
/// such a recount.
const RECOUNT_EVERY: Duration = Duration::from_secs(2);
const RECOUNT_ENTRIES: usize = 20_000;
/// Counting changed volumes takes at most one part in this many of the time.
const COUNT_SHARE: u32 = 10;

/// Sources of storage accounting in addition to the store and the backend.
#[derive(Clone)]
pub struct StorageOptions {
    /// The index with log lines and invocation records.
    pub index: Index,
    /// The volumes of this node.
    pub volumes: Volumes,
    /// Interval between full counts. Default: 10 minutes.
    pub every: Duration,
}

impl StorageOptions {
    /// Returns the default options.
    #[must_use]
    pub fn new(index: Index, volumes: Volumes) -> Self {
        Self { index, volumes, every: Duration::from_secs(600) }
    }
}

/// The volumes of this node, with bytes charged to their tenants. Cheap to clone.
#[derive(Clone)]
pub struct Volumes(Arc<Inner>);

struct Inner {
    root: PathBuf,
    accounts: Accounts,
    changed: Mutex<HashSet<TenantId>>,
    some: Notify,
    /// Number of running calls per tenant that may write.
    writers: Mutex<HashMap<TenantId, usize>>,
    /// Time of the last recount after a refused write.
    recounted: Mutex<HashMap<TenantId, std::time::Instant>>,
}

impl Volumes {
    /// Creates the accounting of the volumes below a folder, in the sandbox's layout.
    #[must_use]
    pub fn new(root: PathBuf, accounts: Accounts) -> Self {
        Self(Arc::new(Inner {
            root,
            accounts,
            changed: Mutex::default(),
            some: Notify::new(),
            writers: Mutex::default(),
            recounted: Mutex::default(),
        }))
    }

    /// Counts one tenant's volumes if they have at most `most` entries. Returns `true` if they were counted.
    fn count(&self, tenant: &TenantId, most: usize) -> bool {
        let accounts = &self.0.accounts;
        accounts.begin_count_of(tenant, StorageKind::Volumes);
        let Some(there) = walk(&self.0.root.join(tenant.as_str()), most) else { return false };
        // After the walk, so that a file removed in between may count twice until the next count, but is never missed.
        let removed = self.removed_but_open().remove(tenant).unwrap_or(0);
        accounts.end_count_of(tenant, StorageKind::Volumes, there.saturating_add(removed));
        true
    }

    fn removed_but_open(&self) -> HashMap<TenantId, u64> {
        let writers = self.0.writers.lock().keys().cloned().collect();
        removed_but_open(&self.0.root, &writers)
    }

    async fn of_all(&self) -> HashMap<TenantId, u64> {
        let this = self.clone();
        let walk_all = move || {
            let entries = std::fs::read_dir(&this.0.root).into_iter().flatten().flatten();
            let tenants = entries.filter_map(|entry| {
                let tenant = TenantId::new(entry.file_name().into_string().ok()?).ok()?;
                Some((tenant, walk(&entry.path(), usize::MAX)?))
            });
            let mut all: HashMap<TenantId, u64> = tenants.collect();
            // After the walk, as in `count`.
            for (tenant, bytes) in this.removed_but_open() {
                let sum = all.entry(tenant).or_default();
                *sum = sum.saturating_add(bytes);
            }
            all
        };
        tokio::task::spawn_blocking(walk_all).await.unwrap_or_default()
    }
}

impl Volumes {
    fn reserve(&self, tenant: &TenantId, bytes: u64) -> Result<VolumeCharge, VolumeRefusal> {
        match self.0.accounts.try_reserve(tenant, StorageKind::Volumes, bytes) {
            Ok(reservation) => Ok(VolumeCharge::new(Written(Some(reservation)))),
            Err(Error::DiskFull { .. }) => Err(VolumeRefusal::DiskFull),
            Err(_) => Err(VolumeRefusal::OverQuota),
        }
    }

    /// Recounts a tenant's volumes immediately, unless they are large or were recounted a moment ago.
    fn recount(&self, tenant: &TenantId) -> bool {
        let now = std::time::Instant::now();
        let mut recounted = self.0.recounted.lock();
        if recounted.get(tenant).is_some_and(|at| now - *at < RECOUNT_EVERY) {
            return false;
        }
        recounted.retain(|_, at| now - *at < RECOUNT_EVERY);
        recounted.insert(tenant.clone(), now);
        drop(recounted);
        self.count(tenant, RECOUNT_ENTRIES)
    }
}

/// A reservation during a write, counted as used after it. Until then no count can include it.
struct Written(Option<Reservation>);

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(reservation) = self.0.take() {
            reservation.keep(0);
        }
    }
}

impl VolumeMeter for Volumes {
    fn opened(&self, tenant: &TenantId) {
        *self.0.writers.lock().entry(tenant.clone()).or_default() += 1;
    }

    fn charge(&self, tenant: &TenantId, bytes: u64) -> Result<VolumeCharge, VolumeRefusal> {
        match self.reserve(tenant, bytes) {
            // Data that the guest deleted or overwrote since its call began is still counted.
            Err(VolumeRefusal::OverQuota) if self.recount(tenant) => self.reserve(tenant, bytes),
            other => other,
        }
    }

    fn changed(&self, tenant: &TenantId) {
        let mut writers = self.0.writers.lock();
        if let Some(count) = writers.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                writers.remove(tenant);
            }
        }
        drop(writers);
        self.0.changed.lock().insert(tenant.clone());
        self.0.some.notify_one();
    }

    fn entry_bytes(&self) -> u64 {
        ENTRY_BYTES
    }
}

/// Counts data and follows quotas until `stop` is cancelled.
pub(crate) async fn run(backend: Backend, store: Store, options: StorageOptions, stop: CancellationToken) {
    let all = async { futures::join!(follow_quotas(&backend, store.accounts()), count(&backend, &store, &options)) };
    stop.run_until_cancelled(all).await;
}

async fn count(backend: &Backend, store: &Store, options: &StorageOptions) {
    let accounts = store.accounts();
    while let Err(fault) = count_all(backend, store, options).await {
        tracing::warn!(%fault, "failed to count stored data, retrying");
        sleep(AGAIN).await;
    }
    accounts.counted();
    let mut every = interval_at(Instant::now() + options.every, options.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Duration::ZERO;
    loop {
        tokio::select! {
            _ = every.tick() => if let Err(fault) = count_all(backend, store, options).await {
                tracing::warn!(%fault, "failed to count stored data");
            },
            () = options.volumes.0.some.notified() => {
                sleep(GATHER.max(took * COUNT_SHARE)).await;
                let started = Instant::now();
                let changed = std::mem::take(&mut *options.volumes.0.changed.lock());
                let volumes = options.volumes.clone();
                let counted = tokio::task::spawn_blocking(move || {
                    for tenant in changed {
                        volumes.count(&tenant, usize::MAX);
                    }
                });
                if let Err(error) = counted.await {
                    tracing::error!(%error, "failed to count volumes");
                }
                took = started.elapsed();
            }
        }
    }
}

async fn count_all(backend: &Backend, store: &Store, options: &StorageOptions) -> Result<(), Fault> {
    let started = std::time::Instant::now();
    let accounts = store.accounts();
    accounts.begin_count(&StorageKind::ALL);
    let mut all = backend.maintenance.sizes().await?;
    let mut add = |more: Sizes| {
        for (tenant, kinds) in more {
            let of = all.entry(tenant).or_default();
            for (kind, bytes) in kinds {
                *of.entry(kind).or_default() += bytes;
            }
        }
    };
    add(store.sizes().await?);
    let one_kind = |sizes: HashMap<TenantId, u64>, kind| -> Sizes {
        sizes.into_iter().map(|(tenant, bytes)| (tenant, HashMap::from([(kind, bytes)]))).collect()
    };
    add(one_kind(options.volumes.of_all().await, StorageKind::Volumes));
    let logs = options.index.sizes().await;
    let logs = logs.map_err(|e| Fault::new(fabric_types::Code::Unavailable, format!("the index: {e}")))?;
    add(one_kind(logs, StorageKind::Logs));
    accounts.end_count(&StorageKind::ALL, &all);
    tracing::debug!(tenants = all.len(), took_ms = started.elapsed().as_millis(), "counted stored data");
    Ok(())
}

/// Returns the tenant of an entry and its own storage quota, if it has one.
fn quota(entry: &RegistryEntry) -> Option<(TenantId, Option<u64>)> {
    let tenant = TenantId::new(entry.key.strip_prefix(QUOTAS)?).ok()?;
    let quota: Quota = serde_json::from_slice(&entry.value).ok()?;
    Some((tenant, quota.limit.storage_bytes.map(|bytes| bytes.0)))
}

async fn follow_quotas(backend: &Backend, accounts: &Accounts) {
    let mut changes = backend.registry.watch(QUOTAS);
    loop {
        match all_quotas(backend).await {
            Ok(quotas) => {
                accounts.set_quotas(quotas);
                break;
            }
            Err(fault) => tracing::warn!(%fault, "failed to read storage quotas, retrying"),
        }
        sleep(AGAIN).await;
    }
    while let Some(change) = changes.next().await {
        match change {
            Change::Put(entry) => {
                if let Some((tenant, bytes)) = quota(&entry) {
                    accounts.set_quota(&tenant, bytes);
                }
            }
            Change::Deleted(key) => {
                let name = key.strip_prefix(QUOTAS).unwrap_or_default();
                if let Ok(tenant) = TenantId::new(name) {
                    accounts.set_quota(&tenant, None);
                }
            }
        }
    }
}

async fn all_quotas(backend: &Backend) -> Result<HashMap<TenantId, Option<u64>>, Fault> {
    let mut quotas = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = backend.registry.list(QUOTAS, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(quotas) };
        after = Some(last.key.clone());
        quotas.extend(page.iter().filter_map(quota));
    }
}
