//! Accounting and expiry by listing the object store.

use crate::{Error, names, objects::Objects};
use async_trait::async_trait;
use fabric_backend::maintenance::{Expired, Maintenance, Sizes, owner};
use fabric_types::{id::TenantId, storage::StorageKind};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectMeta, path::Path};
use std::collections::HashSet;

/// Concurrent removals.
const AT_ONCE: usize = 16;

pub(crate) struct FleetMaintenance {
    registry: Objects,
    journal: Objects,
    results: Objects,
}

/// Returns the first three parts of an object's path as a name, which determine its tenant and kind.
fn beginning(meta: &ObjectMeta, root: &Path) -> Option<String> {
    let rest: Vec<_> = meta.location.prefix_match(root)?.map(|part| part.as_ref().to_owned()).collect();
    let part = |at: usize| rest.get(at).map(|part| part.trim_start_matches('=')).unwrap_or_default();
    Some(format!("{}/{}/{}", part(0), part(1), part(2)))
}

impl FleetMaintenance {
    pub(crate) fn new(registry: Objects, journal: Objects, results: Objects) -> Self {
        Self { registry, journal, results }
    }

    /// Returns the tenant's results that were written before `before_ms`.
    async fn expired(&self, tenant: &TenantId, before_ms: u64) -> Result<Vec<ObjectMeta>, Error> {
        let (folder, _) = names::folder(self.results.root(), &format!("{tenant}/"));
        let old = |meta: &ObjectMeta| {
            u64::try_from(meta.last_modified.timestamp_millis()).is_ok_and(|written| written < before_ms)
        };
        Ok(self.results.list(&folder).await?.into_iter().filter(old).collect())
    }
}

#[async_trait]
impl Maintenance for FleetMaintenance {
    async fn sizes(&self) -> Result<Sizes, Error> {
        let mut sizes = Sizes::new();
        for objects in [&self.registry, &self.journal] {
            let root = objects.root();
            for meta in objects.list(root).await? {
                let Some((tenant, kind)) = beginning(&meta, root).as_deref().and_then(owner) else { continue };
                *sizes.entry(tenant).or_default().entry(kind).or_default() += meta.size;
            }
        }
        let root = self.results.root();
        for meta in self.results.list(root).await? {
            let tenant = beginning(&meta, root).and_then(|name| TenantId::new(name.split('/').next()?).ok());
            if let Some(tenant) = tenant {
                *sizes.entry(tenant).or_default().entry(StorageKind::Results).or_default() += meta.size;
            }
        }
        Ok(sizes)
    }

    async fn expire_results(&self, tenant: &TenantId, before_ms: u64, limit: usize) -> Result<Expired, Error> {
        let mut expired = self.expired(tenant, before_ms).await?;
        expired.truncate(limit);
        let bytes = expired.iter().map(|meta| meta.size).sum();
        let results = expired.len() as u64;
        stream::iter(expired)
            .map(async |meta| self.results.delete(&meta.location).await)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Expired { results, bytes })
    }

    async fn count_expired(&self, tenant: &TenantId, before_ms: u64) -> Result<Expired, Error> {
        let expired = self.expired(tenant, before_ms).await?;
        Ok(Expired { results: expired.len() as u64, bytes: expired.iter().map(|meta| meta.size).sum() })
    }

    async fn result_objects(
        &self,
        _tenant: &TenantId,
        _used_since_ms: u64,
    ) -> Result<Option<HashSet<[u8; 32]>>, Error> {
        // It would require a read of every result.
        Ok(None)
    }
}
