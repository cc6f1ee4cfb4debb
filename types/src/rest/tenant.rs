//! Tenants: what they may use, and what they use now.

use crate::{id::TenantId, quota::Quota, storage::Storage, units::ByteSize};
use serde::{Deserialize, Serialize};

/// A tenant, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tenant {
    /// Its name.
    pub tenant: TenantId,
    /// What it may use.
    pub quota: Quota,
    /// What its attempts take now, those included that wait on a node.
    pub usage: TenantUsage,
    /// What it keeps on disk, and may keep.
    #[serde(default)]
    pub storage: Storage,
    /// What is wrong with the quota as the fleet is now, such as guarantees that no nodes are there for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a tenant's attempts take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantUsage {
    /// CPU slots.
    pub cpu_slots: u64,
    /// Memory in bytes.
    pub memory_bytes: ByteSize,
    /// GPUs.
    pub gpus: u64,
}
