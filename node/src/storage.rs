//! Keeps the storage accounts true: counts what is there at the start and from time to time, follows the tenants' quotas,
//! and counts a tenant's volumes again after its guests wrote there.

use crate::volume_walk::{removed_but_open, walk};
use fabric_engine::{
    Engine,
    registry::{Change, Entry},
    upkeep::Sizes,
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

/// Where tenants' quotas are.
const QUOTAS: &str = "sys/quota/";
/// Quotas read at once.
const PAGE: usize = 1000;
/// How long to wait after a count that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// How long changes of volumes are gathered before they are counted.
const GATHER: Duration = Duration::from_millis(500);
/// A refused write counts a tenant's volumes again at most so often, and when they have at most so many entries.
const RECOUNT_EVERY: Duration = Duration::from_secs(2);
const RECOUNT_ENTRIES: usize = 20_000;
/// Share of the time that counting changed volumes may take, one part in this many.
const COUNT_SHARE: u32 = 10;

/// What is counted beside the store and the engine.
#[derive(Clone)]
pub struct StorageOptions {
    /// Where log lines and records of calls are.
    pub index: Index,
    /// The volumes of this node.
    pub volumes: Volumes,
    /// How often everything is counted. Default 10 minutes.
    pub every: Duration,
}

impl StorageOptions {
    /// The defaults.
    #[must_use]
    pub fn new(index: Index, volumes: Volumes) -> Self {
        Self { index, volumes, every: Duration::from_secs(600) }
    }
}

/// The volumes of this node, whose bytes are charged to their tenants. Cloning is cheap.
#[derive(Clone)]
pub struct Volumes(Arc<Inner>);

struct Inner {
    root: PathBuf,
    accounts: Accounts,
    changed: Mutex<HashSet<TenantId>>,
    some: Notify,
    /// Calls under way that could write, by tenant.
    writers: Mutex<HashMap<TenantId, usize>>,
    /// When volumes were counted because of a refusal.
    recounted: Mutex<HashMap<TenantId, std::time::Instant>>,
}

impl Volumes {
    /// The volumes below a folder, as the sandbox lays them out.
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

    /// Counts one tenant's volumes, if they have at most so many entries; says whether it did.
    fn count(&self, tenant: &TenantId, most: usize) -> bool {
        let accounts = &self.0.accounts;
        accounts.begin_count_of(tenant, StorageKind::Volumes);
        let Some(there) = walk(&self.0.root.join(tenant.as_str()), most) else { return false };
        // After the walk: a file that is removed in between counts twice until the next count, and never not at all.
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

    /// Counts a tenant's volumes at once, if that is not much work and was not done a moment ago.
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

/// Set aside while a write is under way, counted as used after it. Until then no count can see it.
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
            // What the guest removed or wrote over since its call began is still counted.
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

/// Counts and follows until `stop`.
pub(crate) async fn run(engine: Engine, store: Store, options: StorageOptions, stop: CancellationToken) {
    let all = async { futures::join!(follow_quotas(&engine, store.accounts()), count(&engine, &store, &options)) };
    stop.run_until_cancelled(all).await;
}

async fn count(engine: &Engine, store: &Store, options: &StorageOptions) {
    let accounts = store.accounts();
    while let Err(fault) = count_all(engine, store, options).await {
        tracing::warn!(%fault, "what is stored can't be counted; trying again");
        sleep(AGAIN).await;
    }
    accounts.counted();
    let mut every = interval_at(Instant::now() + options.every, options.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Duration::ZERO;
    loop {
        tokio::select! {
            _ = every.tick() => if let Err(fault) = count_all(engine, store, options).await {
                tracing::warn!(%fault, "what is stored can't be counted now");
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
                    tracing::error!(%error, "volumes were not counted");
                }
                took = started.elapsed();
            }
        }
    }
}

async fn count_all(engine: &Engine, store: &Store, options: &StorageOptions) -> Result<(), Fault> {
    let started = std::time::Instant::now();
    let accounts = store.accounts();
    accounts.begin_count(&StorageKind::ALL);
    let mut all = engine.upkeep.sizes().await?;
    let mut add = |more: Sizes| {
        for (tenant, kinds) in more {
            let of = all.entry(tenant).or_default();
            for (kind, bytes) in kinds {
                *of.entry(kind).or_default() += bytes;
            }
        }
    };
    add(store.sizes().await.map_err(|e| e.to_fault())?);
    let one_kind = |sizes: HashMap<TenantId, u64>, kind| -> Sizes {
        sizes.into_iter().map(|(tenant, bytes)| (tenant, HashMap::from([(kind, bytes)]))).collect()
    };
    add(one_kind(options.volumes.of_all().await, StorageKind::Volumes));
    let logs = options.index.sizes().await;
    let logs = logs.map_err(|e| Fault::new(fabric_types::Code::Unavailable, format!("the index: {e}")))?;
    add(one_kind(logs, StorageKind::Logs));
    accounts.end_count(&StorageKind::ALL, &all);
    tracing::debug!(tenants = all.len(), took_ms = started.elapsed().as_millis(), "counted what is stored");
    Ok(())
}

/// The tenant of an entry and what it may keep, if that is its own.
fn quota(entry: &Entry) -> Option<(TenantId, Option<u64>)> {
    let tenant = TenantId::new(entry.key.strip_prefix(QUOTAS)?).ok()?;
    let quota: Quota = serde_json::from_slice(&entry.value).ok()?;
    Some((tenant, quota.limit.storage_bytes.map(|bytes| bytes.0)))
}

async fn follow_quotas(engine: &Engine, accounts: &Accounts) {
    let mut changes = engine.registry.watch(QUOTAS);
    loop {
        match all_quotas(engine).await {
            Ok(quotas) => {
                accounts.set_quotas(quotas);
                break;
            }
            Err(fault) => tracing::warn!(%fault, "storage quotas can't be read; trying again"),
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

async fn all_quotas(engine: &Engine) -> Result<HashMap<TenantId, Option<u64>>, Fault> {
    let mut quotas = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = engine.registry.list(QUOTAS, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(quotas) };
        after = Some(last.key.clone());
        quotas.extend(page.iter().filter_map(quota));
    }
}
