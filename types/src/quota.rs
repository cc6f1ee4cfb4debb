//! Quotas: a tenant's resources over all nodes, and the policy for its functions.

use crate::{ceilings::Ceilings, grants::GrantRules, units::ByteSize};
use serde::{Deserialize, Serialize};

/// A tenant's quota. Without one, a tenant has no guarantee, no limit, weight 1, and the server's ceilings and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// Resources that the tenant has before tenants above their own guarantee. The attempts of those are stopped if
    /// necessary.
    pub guarantee: Guarantee,
    /// Maximum resources of the attempts that run or wait on a node.
    pub limit: Limit,
    /// Share of the remaining resources, relative to other tenants; 1 to 1000. Default 1.
    pub weight: u32,
    /// Ceilings for its functions that replace the server's.
    pub ceilings: Ceilings,
    /// Grant rules for its functions that replace the server's.
    pub grants: GrantRules,
    /// Retention times that replace the server's.
    pub keep: Keep,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            limit: Limit::default(),
            weight: 1,
            ceilings: Ceilings::default(),
            grants: GrantRules::default(),
            keep: Keep::default(),
        }
    }
}

/// Guaranteed resources of a tenant. Default: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guarantee {
    /// CPU slots.
    pub cpu_slots: u32,
    /// Memory in bytes.
    pub memory_bytes: ByteSize,
    /// GPUs.
    pub gpus: u32,
}

/// Maximum resources of a tenant. Default: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limit {
    /// CPU slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_slots: Option<u32>,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<ByteSize>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Storage in bytes. Default: `storage.quota` of the server's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<ByteSize>,
}

/// Retention times of a tenant, in seconds. Default: `[storage]` of the server's configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// Retention of jobs and asynchronous invocations after their end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_s: Option<u64>,
    /// Retention of results after their last use. Results of a stored job are retained at least as long as the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results_s: Option<u64>,
}

impl Quota {
    /// Checks the constraints that the types do not express.
    ///
    /// # Errors
    /// A message about the invalid value.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=1000).contains(&self.weight) {
            return Err(format!("`weight` is {}: use 1 to 1000", self.weight));
        }
        let above = |name: &str| Err(format!("the guarantee of {name} is above the limit"));
        if self.limit.cpu_slots.is_some_and(|most| most < self.guarantee.cpu_slots) {
            return above("cpu-slots");
        }
        if self.limit.memory_bytes.is_some_and(|most| most < self.guarantee.memory_bytes) {
            return above("memory-bytes");
        }
        if self.limit.gpus.is_some_and(|most| most < self.guarantee.gpus) {
            return above("gpus");
        }
        if [self.keep.jobs_s, self.keep.results_s].contains(&Some(0)) {
            return Err("`keep` has a time of 0 seconds: use 1 or more".to_owned());
        }
        self.ceilings.check()?;
        self.grants.check()
    }
}
