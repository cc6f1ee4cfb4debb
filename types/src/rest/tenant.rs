//! Tenants: their quotas and their present usage.

use crate::{id::TenantId, quota::Quota, storage::Storage, units::ByteSize};
use serde::{Deserialize, Serialize};

/// A tenant, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tenant {
    /// Name of the tenant.
    pub tenant: TenantId,
    /// Quota of the tenant.
    pub quota: Quota,
    /// Resources of its attempts, including those that wait on a node.
    pub usage: TenantUsage,
    /// Storage and its quota.
    #[serde(default)]
    pub storage: Storage,
    /// Problems of the quota with the present fleet, such as guarantees that no node can satisfy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The resources that a tenant's attempts use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantUsage {
    /// CPU slots.
    pub cpu_slots: u64,
    /// Memory in bytes.
    pub memory_bytes: ByteSize,
    /// GPUs.
    pub gpus: u64,
}
