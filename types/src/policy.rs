//! The policy for a tenant's functions: ceilings of limits, and allowed grants.

use crate::{
    Code, Fault,
    function::Deployment,
    grants::{self, AllowedGrants},
    id::TenantId,
    limits::Limits,
    manifest::Manifest,
    quota::Quota,
};

/// The limits and grants that one tenant's functions may set, with all levels applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Highest value of each limit.
    pub ceilings: Limits,
    /// Allowed grants.
    pub grants: AllowedGrants,
}

impl Default for Policy {
    fn default() -> Self {
        Self { ceilings: Limits::default_ceilings(), grants: AllowedGrants::default() }
    }
}

impl Policy {
    /// Returns the policy of a tenant with this quota. `self` is the server's policy.
    #[must_use]
    pub fn of(&self, quota: &Quota) -> Self {
        Self { ceilings: quota.ceilings.over(&self.ceilings), grants: quota.grants.over(&self.grants) }
    }

    /// Checks a manifest before it becomes a version. Returns a warning for each default that a ceiling lowers.
    ///
    /// # Errors
    /// `invalid-manifest` for a limit above its ceiling, `denied` for a grant that is not allowed.
    pub fn admit(&self, tenant: &TenantId, manifest: &Manifest) -> Result<Vec<String>, Fault> {
        if let Some(above) = manifest.limits.above(&self.ceilings) {
            return Err(Fault::new(Code::InvalidManifest, format!("fabric.toml: {above}")).hint(format!(
                "ask for less; an operator can raise it: `fabric tenants set {tenant} --ceiling {}={}`, or `[ceilings]` in the server's configuration",
                above.key, above.asked
            )));
        }
        self.allow(tenant, manifest)?;
        let lowered = manifest.limits.clamp(&self.ceilings).rows().into_iter().zip(manifest.limits.rows());
        Ok(lowered
            .filter(|((_, now), (_, before))| now != before)
            .map(|((key, now), (_, before))| {
                format!("limits.{key} is lowered from its default {before} to {now}, the operator's ceiling")
            })
            .collect())
    }

    fn allow(&self, tenant: &TenantId, manifest: &Manifest) -> Result<(), Fault> {
        match self.grants.refused(manifest) {
            None => Ok(()),
            Some(refused) => {
                let message = format!("tenant {tenant} may not have {}", refused.grant);
                let hint = format!(
                    "leave it out, or ask an operator: `fabric tenants set {tenant} --grant {}`",
                    refused.remedy
                );
                Err(Fault::new(Code::Denied, message).hint(hint))
            }
        }
    }

    /// Returns the limits for a call. Checks the grants again, because a permission may have been withdrawn, or a
    /// ceiling lowered, since the deployment.
    ///
    /// # Errors
    /// `denied` for a grant that is no longer allowed.
    pub fn limits(&self, deployment: &Deployment) -> Result<Limits, Fault> {
        if grants::asks_for_any(deployment) {
            self.allow(&deployment.tenant, &deployment.manifest)?;
        }
        Ok(deployment.manifest.limits.clamp(&self.ceilings))
    }
}
