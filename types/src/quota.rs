//! What a tenant may use of all nodes together, and what its functions may set for themselves.

use crate::{ceilings::Ceilings, grants::GrantRules, units::ByteSize};
use serde::{Deserialize, Serialize};

/// A tenant's quota. Without one a tenant has no guarantee, no limit, weight 1, and the server's ceilings and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// What it gets before tenants that have more than theirs, whose attempts are stopped for it if need be.
    pub guarantee: Guarantee,
    /// What it never has more of at once, in attempts that run or wait on a node.
    pub limit: Limit,
    /// Its share of what is left, against the other tenants; 1 to 1000. Default 1.
    pub weight: u32,
    /// The most that its functions may set for each limit, where that is not the server's.
    pub ceilings: Ceilings,
    /// The grants that its functions may ask for, where that is not the server's.
    pub grants: GrantRules,
    /// How long its things are kept, where that is not as the server's configuration says.
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

/// What a tenant is sure of. Default: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guarantee {
    /// CPU slots.
    pub cpu_slots: u32,
    /// Memory in bytes.
    pub memory_bytes: ByteSize,
    /// GPUs.
    pub gpus: u32,
}

/// What a tenant may have at most. Default: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Bytes that it may keep on disk. Default: what the server's configuration says in `storage.quota`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<ByteSize>,
}

/// How long a tenant's things are kept, in seconds. Default: as `[storage]` of the server's configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// Jobs and asynchronous invocations, after their end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_s: Option<u64>,
    /// Results, after their last use; those of a kept job are kept as long as it is, if this is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results_s: Option<u64>,
}

impl Quota {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// What is wrong, in words.
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
