//! Maintenance: accounting of each tenant's data in the backend, and expiry of results that were not used for a long time.

use crate::Error;
use async_trait::async_trait;
use fabric_types::{id::TenantId, storage::StorageKind};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Stored bytes per tenant and kind.
pub type Sizes = HashMap<TenantId, HashMap<StorageKind, u64>>;

/// Resolution of the last use of a result: 12 hours. A use within this time after the recorded one is not recorded.
pub const USE_RESOLUTION: Duration = Duration::from_secs(12 * 3600);

/// Approximate overhead of a result, a registry entry or a journal record, in bytes.
pub const ROW_BYTES: u64 = 160;

/// A number of expired results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Number of results.
    pub results: u64,
    /// Their bytes in the backend.
    pub bytes: u64,
}

/// Accounting and expiry of stored data.
#[async_trait]
pub trait Maintenance: Send + Sync + 'static {
    /// Returns the stored bytes of each tenant: results with their rows, journals of jobs, registry entries. Scans all
    /// data, concurrently with other operations.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn sizes(&self) -> Result<Sizes, Error>;

    /// Removes up to `limit` of the tenant's results that were not used since `before_ms`, in milliseconds since 1970
    /// with a tolerance of [`USE_RESOLUTION`]. Reading a result and committing it again count as uses.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn expire_results(&self, tenant: &TenantId, before_ms: u64, limit: usize) -> Result<Expired, Error>;

    /// Counts the results that [`Self::expire_results`] would remove without a limit.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn count_expired(&self, tenant: &TenantId, before_ms: u64) -> Result<Expired, Error>;

    /// Returns the content digests of the tenant's results that are objects and were used since `used_since_ms`.
    /// Returns `None` if this backend cannot determine them.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn result_objects(&self, tenant: &TenantId, used_since_ms: u64) -> Result<Option<HashSet<[u8; 32]>>, Error>;
}

/// Returns the tenant and the storage kind of a registry key or journal stream, or `None` if no tenant owns it.
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
