//! A write that a tenant's quota has no room for.

use fabric_types::{id::TenantId, storage::StorageKind, units::ByteSize};

/// Why a tenant may not keep more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverQuota {
    /// The tenant.
    pub tenant: TenantId,
    /// What was to be written.
    pub kind: StorageKind,
    /// How many bytes.
    pub wanted: u64,
    /// Bytes that are used.
    pub used: u64,
    /// Bytes that are set aside for requests under way.
    pub reserved: u64,
    /// Bytes that may be.
    pub quota: u64,
    /// What takes most.
    pub most: StorageKind,
    /// How much that is.
    pub most_bytes: u64,
}

impl std::fmt::Display for OverQuota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [wanted, used, quota, most] = [self.wanted, self.used, self.quota, self.most_bytes].map(ByteSize);
        let (tenant, kind) = (&self.tenant, self.kind);
        write!(f, "tenant {tenant} keeps {used} of its {quota}")?;
        if self.reserved > 0 {
            write!(f, ", {} are set aside for requests under way", ByteSize(self.reserved))?;
        }
        match kind {
            StorageKind::Answers => {
                write!(f, ", and the answer to this request, which is remembered, may need {wanted}; ")?
            }
            _ => write!(f, ", and these {kind} need {wanted} more; ")?,
        }
        write!(f, "most of it is {} with {most}", self.most)
    }
}

impl OverQuota {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{}; `fabric usage` shows all kinds, and an admin may raise the quota", self.most.remedy())
    }
}
