//! The policy of each tenant: ceilings and grants, from the server's configuration and the tenant's quota.
//!
//! Quotas are in the registry under `sys/quota/{tenant}`. They are read at the start and watched, so that a call reads
//! only memory. A change by another process of a fleet applies here when its notice arrives.

use fabric_backend::{
    Backend,
    registry::{Change, RegistryEntry},
};
use fabric_types::{Fault, id::TenantId, policy::Policy, quota::Quota};
use futures::{StreamExt as _, stream::BoxStream};
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

const QUOTAS: &str = "sys/quota/";
/// Entries per page when listing the registry.
const PAGE: usize = 1000;

struct Known {
    policy: Arc<Policy>,
    revision: u64,
}

struct Inner {
    backend: Backend,
    server: Policy,
    usual: Arc<Policy>,
    tenants: RwLock<HashMap<TenantId, Known>>,
}

/// The tenants' policies. Cheap to clone.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

impl Policies {
    /// Reads all quotas. `server` applies to settings that a quota does not have. The returned stream is for
    /// [`Self::follow`].
    ///
    /// # Errors
    /// The registry's fault. A damaged quota is logged, and the server's policy applies to its tenant.
    pub(crate) async fn open(backend: Backend, server: Policy) -> Result<(Self, BoxStream<'static, Change>), Fault> {
        // Watched before the read, so that no change is missed.
        let changes = backend.registry.watch(QUOTAS);
        let usual = Arc::new(server.clone());
        let policies = Self(Arc::new(Inner { backend, server, usual, tenants: RwLock::default() }));
        let mut after: Option<String> = None;
        loop {
            let page = policies.0.backend.registry.list(QUOTAS, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok((policies, changes)) };
            after = Some(last.key.clone());
            page.iter().for_each(|entry| policies.take(entry));
        }
    }

    /// Applies changes until the registry closes.
    pub(crate) async fn follow(self, mut changes: BoxStream<'static, Change>) {
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(entry) => self.take(&entry),
                Change::Deleted(key) => {
                    if let Some(tenant) = tenant(&key) {
                        self.0.tenants.write().remove(&tenant);
                    }
                }
            }
        }
    }

    fn take(&self, entry: &RegistryEntry) {
        let Some(tenant) = tenant(&entry.key) else { return };
        let quota = match serde_json::from_slice::<Quota>(&entry.value) {
            Ok(quota) => quota,
            Err(error) => {
                tracing::error!(key = entry.key, %error, "quota in the registry is damaged");
                return;
            }
        };
        let mut tenants = self.0.tenants.write();
        if tenants.get(&tenant).is_none_or(|known| known.revision <= entry.revision) {
            let policy = Arc::new(self.0.server.of(&quota));
            tenants.insert(tenant, Known { policy, revision: entry.revision });
        }
    }

    /// Returns a tenant's policy as cached by this process.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<Policy> {
        self.0.tenants.read().get(tenant).map_or_else(|| self.0.usual.clone(), |known| known.policy.clone())
    }

    /// Returns a tenant's policy as currently stored in the registry.
    ///
    /// # Errors
    /// The registry's fault.
    pub async fn fresh(&self, tenant: &TenantId) -> Result<Arc<Policy>, Fault> {
        match self.0.backend.registry.get(&format!("{QUOTAS}{tenant}")).await? {
            Some(entry) => self.take(&entry),
            None => {
                self.0.tenants.write().remove(tenant);
            }
        }
        Ok(self.of(tenant))
    }
}

fn tenant(key: &str) -> Option<TenantId> {
    TenantId::new(key.strip_prefix(QUOTAS)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_backend::registry::Precondition;
    use fabric_embedded::Embedded;
    use fabric_types::units::ByteSize;

    #[tokio::test]
    async fn a_quota_is_in_force_when_it_was_written_before_or_is_written_after() {
        let backend = Embedded::in_memory().unwrap();
        let put = async |tenant: &str, text: &str| {
            let value = bytes::Bytes::copy_from_slice(text.as_bytes());
            backend.registry.put(&format!("{QUOTAS}{tenant}"), value, Precondition::Any).await.unwrap();
        };
        put("before", r#"{"ceilings": {"memory-bytes": 65536}}"#).await;
        put("damaged", "?").await;
        let (policies, changes) = Policies::open(backend.clone(), Policy::default()).await.unwrap();
        let memory = |tenant: &str| policies.of(&tenant.parse().unwrap()).ceilings.memory_bytes;
        assert_eq!((memory("before"), memory("damaged")), (ByteSize::kib(64), ByteSize::gib(4)));
        let following = tokio::spawn(policies.clone().follow(changes));
        put("after", r#"{"ceilings": {"memory-bytes": 131072}}"#).await;
        assert_eq!(policies.fresh(&"after".parse().unwrap()).await.unwrap().ceilings.memory_bytes, ByteSize::kib(128));
        backend.registry.delete(&format!("{QUOTAS}after"), Precondition::Any).await.unwrap();
        assert_eq!(policies.fresh(&"after".parse().unwrap()).await.unwrap().ceilings.memory_bytes, ByteSize::gib(4));
        put("before", "{}").await;
        while memory("before") != ByteSize::gib(4) {
            tokio::task::yield_now().await;
        }
        following.abort();
    }
}
