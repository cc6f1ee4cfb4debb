//! The authenticated caller of a request, its address, and its secret.

mod mark;

use crate::{Error, clock, error::Result};
use axum::extract::FromRequestParts;
use fabric_types::{
    Code,
    id::{InvocationId, TenantId},
    rest::token::Role,
};
use http::{HeaderMap, header, request::Parts};
use std::net::{IpAddr, SocketAddr};

/// Returns an address as limits count it: an IPv6 /64 network counts as one address.
#[must_use]
pub(crate) fn address_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(std::net::Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
        v4 => v4,
    }
}

/// The remote address of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The route of an answered request, for the metrics.
#[derive(Debug, Clone, Copy)]
pub struct Route(pub &'static str);

/// The authenticated caller, and the tenant it acts in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's public id. For a JupyterHub user, one id for all tokens of that user.
    pub token: String,
    /// The token's name.
    pub name: String,
    /// The tenant that the request concerns.
    pub tenant: TenantId,
    /// The token's role.
    pub role: Role,
}

impl Caller {
    /// Returns a fresh invocation id that carries this token's mark.
    #[must_use]
    pub fn invocation_id(&self) -> InvocationId {
        mark::sign(&self.token, clock::now_ms(), clock::draw())
    }

    /// Checks that the caller may see an invocation. An invoker may see those of its own token, a higher role all of
    /// the tenant.
    ///
    /// # Errors
    /// `not-found`, as for an invocation that does not exist.
    pub fn may_see(&self, id: &InvocationId) -> Result<()> {
        if self.role > Role::Invoker || mark::is_of(&self.token, id) {
            return Ok(());
        }
        Err(Error::not_found("invocation", id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Error::new(Code::Unauthenticated, "this needs a token"))
    }
}

/// Returns the secret of an `Authorization: Bearer …` header, or of `token …`, the form that Jupyter clients send.
/// Returns `None` if there are several such headers: a proxy in front may have checked another one.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    secret_of(value.to_str().ok()?)
}

fn secret_of(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then(|| secret.trim())
}
