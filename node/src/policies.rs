//! The policy of each tenant: ceilings and grants, from the server's configuration and from the quota that an operator gave
//! the tenant.
//!
//! The registry has the quotas, under `sys/quota/{tenant}`. They are read at the start and followed, so that a call looks into
//! memory only. A change elsewhere in a fleet is known here when its notice comes.

use fabric_engine::{
    Engine,
    registry::{Change, Entry},
};
use fabric_types::{Fault, id::TenantId, policy::Policy, quota::Quota};
use futures::{StreamExt as _, stream::BoxStream};
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

const QUOTAS: &str = "sys/quota/";
/// Entries read at once.
const PAGE: usize = 1000;

struct Known {
    policy: Arc<Policy>,
    revision: u64,
}

struct Inner {
    engine: Engine,
    server: Policy,
    usual: Arc<Policy>,
    tenants: RwLock<HashMap<TenantId, Known>>,
}

/// The tenants' policies. Cloning is cheap.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

impl Policies {
    /// Reads all quotas. `server` holds where a quota says nothing. The stream is for [`Self::follow`].
    ///
    /// # Errors
    /// The registry's fault. A damaged quota is logged, and its tenant has the server's policy.
    pub(crate) async fn open(engine: Engine, server: Policy) -> Result<(Self, BoxStream<'static, Change>), Fault> {
        // Watched before reading, so that no change falls between.
        let changes = engine.registry.watch(QUOTAS);
        let usual = Arc::new(server.clone());
        let policies = Self(Arc::new(Inner { engine, server, usual, tenants: RwLock::default() }));
        let mut after: Option<String> = None;
        loop {
            let page = policies.0.engine.registry.list(QUOTAS, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok((policies, changes)) };
            after = Some(last.key.clone());
            page.iter().for_each(|entry| policies.take(entry));
        }
    }

    /// Takes changes until the registry closes.
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

    fn take(&self, entry: &Entry) {
        let Some(tenant) = tenant(&entry.key) else { return };
        let quota = match serde_json::from_slice::<Quota>(&entry.value) {
            Ok(quota) => quota,
            Err(error) => {
                tracing::error!(key = entry.key, %error, "a quota in the registry is damaged");
                return;
            }
        };
        let mut tenants = self.0.tenants.write();
        if tenants.get(&tenant).is_none_or(|known| known.revision <= entry.revision) {
            let policy = Arc::new(self.0.server.of(&quota));
            tenants.insert(tenant, Known { policy, revision: entry.revision });
        }
    }

    /// A tenant's policy, as far as this process knows.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<Policy> {
        self.0.tenants.read().get(tenant).map_or_else(|| self.0.usual.clone(), |known| known.policy.clone())
    }

    /// A tenant's policy as it is in the registry now.
    ///
    /// # Errors
    /// The registry's fault.
    pub async fn fresh(&self, tenant: &TenantId) -> Result<Arc<Policy>, Fault> {
        match self.0.engine.registry.get(&format!("{QUOTAS}{tenant}")).await? {
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fabric_engine::{embedded::Embedded, registry::Expect};
    use fabric_types::units::ByteSize;

    #[tokio::test]
    async fn a_quota_is_in_force_when_it_was_written_before_or_is_written_after() {
        let engine = Embedded::in_memory().unwrap();
        let put = async |tenant: &str, text: &str| {
            let value = bytes::Bytes::copy_from_slice(text.as_bytes());
            engine.registry.put(&format!("{QUOTAS}{tenant}"), value, Expect::Any).await.unwrap();
        };
        put("before", r#"{"ceilings": {"memory-bytes": 65536}}"#).await;
        put("damaged", "?").await;
        let (policies, changes) = Policies::open(engine.clone(), Policy::default()).await.unwrap();
        let memory = |tenant: &str| policies.of(&tenant.parse().unwrap()).ceilings.memory_bytes;
        assert_eq!((memory("before"), memory("damaged")), (ByteSize::kib(64), ByteSize::gib(4)));
        let following = tokio::spawn(policies.clone().follow(changes));
        put("after", r#"{"ceilings": {"memory-bytes": 131072}}"#).await;
        assert_eq!(policies.fresh(&"after".parse().unwrap()).await.unwrap().ceilings.memory_bytes, ByteSize::kib(128));
        engine.registry.delete(&format!("{QUOTAS}after"), Expect::Any).await.unwrap();
        assert_eq!(policies.fresh(&"after".parse().unwrap()).await.unwrap().ceilings.memory_bytes, ByteSize::gib(4));
        put("before", "{}").await;
        while memory("before") != ByteSize::gib(4) {
            tokio::task::yield_now().await;
        }
        following.abort();
    }
}
