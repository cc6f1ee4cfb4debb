//! Tokens and roles.

use crate::id::TenantId;
use serde::{Deserialize, Serialize};

/// The permissions of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
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

/// A token in a list. The secret is shown only once, when the token is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Public id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Tenant that owns it.
    pub tenant: TenantId,
    /// Role of its bearer.
    pub role: Role,
    /// Creation time.
    pub created_ms: u64,
    /// Expiry time.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

/// A request to create a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Display name, 1 to 100 bytes.
    pub name: String,
    /// Tenant that will own it. Default: the caller's tenant; only an admin may set another.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Role of its bearer, at most the caller's.
    pub role: Role,
    /// Lifetime in seconds. Default: until it is revoked.
    #[serde(default)]
    pub ttl_s: Option<u64>,
}

/// A new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// The secret to send as `Authorization: Bearer …`. It is not shown again.
    pub secret: String,
}

/// The caller's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Identity {
    /// Name of the token.
    pub name: String,
    /// Tenant.
    pub tenant: TenantId,
    /// Role.
    pub role: Role,
}
