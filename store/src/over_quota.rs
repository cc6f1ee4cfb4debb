//! The error details of a write that exceeds a tenant's quota.

use fabric_types::{id::TenantId, storage::StorageKind, units::ByteSize};

/// The details of a refused write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverQuota {
    /// The tenant.
    pub tenant: TenantId,
    /// The kind of the refused bytes.
    pub kind: StorageKind,
    /// Number of refused bytes.
    pub wanted: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes reserved for requests in progress.
    pub reserved: u64,
    /// The quota in bytes.
    pub quota: u64,
    /// The kind with the most bytes.
    pub most: StorageKind,
    /// Bytes of that kind.
    pub most_bytes: u64,
}

impl std::fmt::Display for OverQuota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [wanted, used, quota, most] = [self.wanted, self.used, self.quota, self.most_bytes].map(ByteSize);
        let (tenant, kind) = (&self.tenant, self.kind);
        write!(f, "tenant {tenant} uses {used} of its {quota}")?;
        if self.reserved > 0 {
            write!(f, ", {} are reserved for requests in progress", ByteSize(self.reserved))?;
        }
        match kind {
            StorageKind::Answers => write!(f, ", and the stored answer to this request may need {wanted}; ")?,
            _ => write!(f, ", and these {kind} need {wanted} more; ")?,
        }
        write!(f, "the largest part is {} with {most}", self.most)
    }
}

impl OverQuota {
    /// Returns the suggested action.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{}; `fabric usage` shows all kinds, and an admin may raise the quota", self.most.remedy())
    }
}
