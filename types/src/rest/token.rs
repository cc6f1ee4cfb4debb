//! Tokens.

use crate::id::TenantId;
use serde::{Deserialize, Serialize};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Call functions and read what belongs to its own calls.
    Invoker,
    /// Everything inside the tenant but tokens.
    Developer,
    /// Everything inside the tenant.
    TenantAdmin,
    /// Everything, in every tenant.
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

/// A token in a list; the secret itself is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Its public id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_ms: u64,
    /// When it stops working.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

/// Makes a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name for people, 1 to 100 bytes.
    pub name: String,
    /// Whose it is. Default: the caller's tenant; only an admin may name another.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// What it may do; never more than the caller.
    pub role: Role,
    /// Seconds it works for. Default: until it is revoked.
    #[serde(default)]
    pub ttl_s: Option<u64>,
}

/// A token just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// The secret to send as `Authorization: Bearer …`. Not shown again.
    pub secret: String,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Identity {
    /// The token's name.
    pub name: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The role.
    pub role: Role,
}
