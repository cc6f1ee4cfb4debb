//! Tenants: quotas and usage.

use super::Driver;
use crate::{command::Command, settings};
use fabric_types::{Code, Fault, id::TenantId, quota::Quota, rest::tenant::Tenant};

impl Driver {
    /// Returns the quota and the usage of a tenant.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, Fault> {
        let id = tenant.clone();
        let found = self.request(|reply| Command::ReadTenant { tenant: id, reply }).await?;
        Ok(Tenant { storage: self.parts.store.accounts().of(tenant), ..found })
    }

    /// Returns every tenant with a quota, jobs since this process became the owner, or stored data, sorted by name.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, Fault> {
        let accounts = self.parts.store.accounts();
        let stored = accounts.tenants();
        let found = self.request(|reply| Command::ListTenants { stored, reply }).await?;
        Ok(found.into_iter().map(|tenant| Tenant { storage: accounts.of(&tenant.tenant), ..tenant }).collect())
    }

    /// Sets a tenant's quota. It takes effect at once.
    ///
    /// # Errors
    /// `bad-request` for a contradictory quota, or the registry's fault.
    pub async fn set_quota(&self, tenant: &TenantId, quota: Quota) -> Result<Tenant, Fault> {
        quota.check().map_err(|problem| Fault::new(Code::BadRequest, problem))?;
        let revision = settings::keep_quota(self.backend(), tenant, &quota).await?;
        let (id, storage) = (tenant.clone(), quota.limit.storage_bytes);
        self.request(|reply| Command::ApplyQuota { tenant: id, quota: Box::new(quota), revision, reply }).await?;
        // Other processes are notified by their watch on the registry.
        self.parts.store.accounts().set_quota(tenant, storage.map(|bytes| bytes.0));
        self.tenant(tenant).await
    }

    /// Deletes a tenant's quota. The server's defaults take effect at once.
    ///
    /// # Errors
    /// The registry's fault.
    pub async fn delete_quota(&self, tenant: &TenantId) -> Result<(), Fault> {
        settings::delete_quota(self.backend(), tenant).await?;
        let id = tenant.clone();
        self.request(|reply| Command::RemoveQuota { tenant: id, reply }).await?;
        self.parts.store.accounts().set_quota(tenant, None);
        // A quota that was set concurrently stays: a deletion has no revision that would order the two.
        if let Some((quota, revision)) = settings::kept_quota(self.backend(), tenant).await? {
            let (id, storage) = (tenant.clone(), quota.limit.storage_bytes);
            self.request(|reply| Command::ApplyQuota { tenant: id, quota: Box::new(quota), revision, reply }).await?;
            self.parts.store.accounts().set_quota(tenant, storage.map(|bytes| bytes.0));
        }
        Ok(())
    }
}
