//! Roles of tokens.

use serde::{Deserialize, Serialize};

/// The permissions of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Calls functions and reads its own calls.
    Invoker,
    /// Has all permissions within the tenant, except for tokens.
    Developer,
    /// Has all permissions within the tenant.
    TenantAdmin,
    /// Has all permissions in every tenant.
    Admin,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invoker => "invoker",
            Self::Developer => "developer",
            Self::TenantAdmin => "tenant-admin",
            Self::Admin => "admin",
        })
    }
}
