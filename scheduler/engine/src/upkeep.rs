//! Upkeep: how much each tenant keeps in the engine, and the removal of results that nobody used for long.

use crate::Error;
use async_trait::async_trait;
use fabric_types::{id::TenantId, storage::StorageKind};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Bytes of each tenant by kind.
pub type Sizes = HashMap<TenantId, HashMap<StorageKind, u64>>;

/// How exactly the last use of a result is known: a use within this time of the last known one is not written down.
pub const USE_GRAIN: Duration = Duration::from_secs(12 * 3600);

/// Bytes that a result, a registry entry or a journal record takes beside its own, about.
pub const ROW_BYTES: u64 = 160;

/// Results that expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many.
    pub results: u64,
    /// Their bytes in the engine.
    pub bytes: u64,
}

/// Counts and expires.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// What each tenant keeps: results with their rows, journals of jobs, registry entries. Looks at everything, beside
    /// other work.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn sizes(&self) -> Result<Sizes, Error>;

    /// Removes up to `limit` of the tenant's results that were not used since `before_ms` (give or take [`USE_GRAIN`]),
    /// milliseconds since 1970. Finding a result and committing it again are uses.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn expire_results(&self, tenant: &TenantId, before_ms: u64, limit: usize) -> Result<Expired, Error>;

    /// Counts what [`Self::expire_results`] would remove without a limit.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn count_expired(&self, tenant: &TenantId, before_ms: u64) -> Result<Expired, Error>;

    /// Content digests of the tenant's results whose bytes are objects and that were used since `used_since_ms`; `None` where
    /// this backend can't tell.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn result_objects(&self, tenant: &TenantId, used_since_ms: u64) -> Result<Option<HashSet<[u8; 32]>>, Error>;
}

/// The kind that a registry key or a stream of a tenant belongs to, and the tenant.
#[must_use]
pub fn owner(name: &str) -> Option<(TenantId, StorageKind)> {
    let of = |rest: &str, kind| {
        let tenant = rest.split('/').next()?;
        Some((TenantId::new(tenant).ok()?, kind))
    };
    if let Some(rest) = name.strip_prefix("sys/idem/") {
        return of(rest, StorageKind::Answers);
    }
    if let Some(rest) = name.strip_prefix("sys/active/") {
        return of(rest, StorageKind::Jobs);
    }
    let rest = name.strip_prefix("t/")?;
    let is_job = rest.split('/').nth(1) == Some("jobs");
    of(rest, if is_job { StorageKind::Jobs } else { StorageKind::Functions })
}
