//! Bodies of the routes of tokens.

use fabric_types::{id::TenantId, rest::token::Role};
use serde::{Deserialize, Serialize};

/// A token in a list. The secret is shown only once, when the token is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// The secret to send as `Authorization: Bearer …`. It is not shown again.
    pub secret: String,
}

/// The caller's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Identity {
    /// Name of the token.
    pub name: String,
    /// Tenant.
    pub tenant: TenantId,
    /// Role.
    pub role: Role,
}
