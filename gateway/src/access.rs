//! The access rules: one table of routes, and the layer that applies it. A route that is not in the table is refused,
//! so a missing entry fails closed.
//!
//! Tokens travel only in the `Authorization` header and never in cookies, so a web page cannot use a visitor's token:
//! cross-site request forgery does not apply, and a page that rebinds its name to loopback reaches only public
//! functions and health. For this reason `Host` is checked only for the route that loopback alone opens: `/metrics`.

pub(crate) mod revocation;
pub(crate) mod secrets;

use crate::{
    Error,
    access_log::RequestCaller,
    caller::{Caller, Peer, Route, bearer},
    error::Result,
    extract,
    idempotency::AnswerKind,
    paths::INVOKE_ROUTE,
    state::App,
    tokens,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use fabric_api::token::Token;
use fabric_types::{Code, id::TenantId, memory::Payer, rest::token::Role};
use http::{HeaderMap, header};
use std::net::SocketAddr;

/// The access that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredAccess {
    /// No token.
    Open,
    /// A token with this role or a higher one.
    Role(Role),
    /// An admin token, or no token from loopback.
    LoopbackOrAdmin,
}

use RequiredAccess::{LoopbackOrAdmin, Open};
const INVOKER: RequiredAccess = RequiredAccess::Role(Role::Invoker);
const DEVELOPER: RequiredAccess = RequiredAccess::Role(Role::Developer);
const ADMIN: RequiredAccess = RequiredAccess::Role(Role::Admin);
const TENANT_ADMIN: RequiredAccess = RequiredAccess::Role(Role::TenantAdmin);

/// The access rules: method, route, access.
pub const TABLE: &[(&str, &str, RequiredAccess)] = &[
    ("GET", "/healthz", Open),
    ("GET", "/readyz", Open),
    ("GET", "/metrics", LoopbackOrAdmin),
    ("GET", "/openapi.json", Open),
    ("GET", "/v1/schemas/job", Open),
    ("GET", "/v1/schemas/manifest", Open),
    ("GET", "/v1/whoami", INVOKER),
    ("POST", INVOKE_ROUTE, INVOKER),
    ("GET", "/v1/invocations/{id}", INVOKER),
    ("GET", "/v1/invocations/{id}/result", INVOKER),
    ("GET", "/v1/invocations/{id}/logs", INVOKER),
    ("POST", "/v1/invocations/{id}/cancel", INVOKER),
    ("GET", "/v1/invocations", DEVELOPER),
    ("POST", "/v1/functions", DEVELOPER),
    ("GET", "/v1/functions", DEVELOPER),
    ("GET", "/v1/functions/{f}", DEVELOPER),
    ("DELETE", "/v1/functions/{f}", DEVELOPER),
    ("GET", "/v1/functions/{f}/versions", DEVELOPER),
    ("GET", "/v1/functions/{f}/versions/{v}", DEVELOPER),
    ("DELETE", "/v1/functions/{f}/versions/{v}", DEVELOPER),
    ("GET", "/v1/functions/{f}/versions/{v}/module", DEVELOPER),
    ("GET", "/v1/functions/{f}/aliases", DEVELOPER),
    ("PUT", "/v1/functions/{f}/aliases/{a}", DEVELOPER),
    ("DELETE", "/v1/functions/{f}/aliases/{a}", DEVELOPER),
    ("POST", "/v1/functions/{f}/rollback", DEVELOPER),
    ("GET", "/v1/python-runner", DEVELOPER),
    ("GET", "/v1/logs", DEVELOPER),
    ("POST", "/v1/jobs", DEVELOPER),
    ("GET", "/v1/jobs", DEVELOPER),
    ("DELETE", "/v1/jobs", DEVELOPER),
    ("GET", "/v1/jobs/{id}", DEVELOPER),
    ("DELETE", "/v1/jobs/{id}", DEVELOPER),
    ("POST", "/v1/jobs/{id}/cancel", DEVELOPER),
    ("POST", "/v1/jobs/{id}/restore", DEVELOPER),
    ("POST", "/v1/jobs/{id}/retry", DEVELOPER),
    ("POST", "/v1/jobs/{id}/audit", DEVELOPER),
    ("GET", "/v1/jobs/{id}/events", DEVELOPER),
    ("GET", "/v1/jobs/{id}/tasks", DEVELOPER),
    ("GET", "/v1/dead-letters", DEVELOPER),
    ("GET", "/v1/jobs/{id}/result", DEVELOPER),
    ("GET", "/v1/jobs/{id}/result/{n}", DEVELOPER),
    ("GET", "/v1/jobs/{id}/results", DEVELOPER),
    ("GET", "/v1/jobs/{id}/tasks/{stage}/{index}/result", DEVELOPER),
    ("GET", "/v1/jobs/{id}/logs", DEVELOPER),
    ("GET", "/v1/objects", DEVELOPER),
    ("PUT", "/v1/objects/{*path}", DEVELOPER),
    ("GET", "/v1/objects/{*path}", DEVELOPER),
    ("DELETE", "/v1/objects/{*path}", DEVELOPER),
    ("GET", "/v1/nodes", DEVELOPER),
    ("POST", "/v1/nodes/{n}/cordon", ADMIN),
    ("POST", "/v1/nodes/{n}/drain", ADMIN),
    ("POST", "/v1/nodes/{n}/uncordon", ADMIN),
    ("POST", "/v1/placements/explain", DEVELOPER),
    ("GET", "/v1/tenants", ADMIN),
    ("GET", "/v1/tenants/{t}/quota", DEVELOPER),
    ("PUT", "/v1/tenants/{t}/quota", ADMIN),
    ("DELETE", "/v1/tenants/{t}/quota", ADMIN),
    ("GET", "/v1/usage", DEVELOPER),
    ("POST", "/v1/sweep", ADMIN),
    ("GET", "/v1/tokens", TENANT_ADMIN),
    ("POST", "/v1/tokens", TENANT_ADMIN),
    ("DELETE", "/v1/tokens/{id}", TENANT_ADMIN),
];

/// Returns the table entry for a request. HEAD follows the rule of GET.
#[must_use]
pub fn rule(method: &http::Method, route: &str) -> Option<(&'static str, RequiredAccess)> {
    let method = if *method == http::Method::HEAD { "GET" } else { method.as_str() };
    TABLE.iter().find(|(m, r, _)| *m == method && *r == route).map(|(_, r, a)| (*r, *a))
}

/// Returns the route of a path, as written in the table, for requests that another process answers.
#[must_use]
pub fn route_of(path: &str) -> Option<&'static str> {
    fn fits(route: &str, path: &str) -> bool {
        let (mut route, mut path) = (route.split('/'), path.split('/'));
        loop {
            match (route.next(), path.next()) {
                (None, None) => return true,
                (Some(wanted), Some(_)) if wanted.starts_with("{*") => return true,
                (Some(wanted), Some(found)) if wanted == found || (wanted.starts_with('{') && !found.is_empty()) => {}
                _ => return false,
            }
        }
    }
    TABLE.iter().map(|(_, route, _)| *route).find(|route| fits(route, path))
}

/// Returns the payer for a caller's requests. Operators are served from the reserve when tenants have used the rest.
fn payer_of(app: &App, caller: &Caller) -> Payer {
    let account = app.services.node.memory();
    if caller.role == Role::Admin { account.operator() } else { account.tenant(&caller.tenant) }
}

/// Returns the holder of a secret: a Fabric token, or a user of the configured JupyterHub.
async fn holder(app: &App, secret: &str) -> Result<Caller> {
    match &app.services.jupyterhub {
        Some(hub) if !tokens::secret::is_secret(secret) => hub.verify(secret).await,
        _ => {
            let Token { id: token, name, tenant, role, .. } = app.tokens.verify(secret).await?;
            Ok(Caller { token, name, tenant, role })
        }
    }
}

/// Identifies the caller of a request.
///
/// # Errors
/// `unauthenticated`; `denied` if a caller other than an admin names another tenant.
pub async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller> {
    let secret = bearer(headers).ok_or_else(|| Error::new(Code::Unauthenticated, "this needs a token"))?;
    let mut caller = holder(app, secret).await?;
    if let Some(other) = crate::extract::text(headers, "fabric-tenant").filter(|t| *t != caller.tenant.as_str()) {
        if caller.role != Role::Admin {
            return Err(Error::new(Code::Denied, "only an admin token may act in another tenant"));
        }
        caller.tenant = TenantId::new(other)?;
    }
    Ok(caller)
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = crate::extract::text(headers, "host") else { return true };
    let name = host
        .parse::<SocketAddr>()
        .map(|a| a.ip().to_string())
        .unwrap_or_else(|_| host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']).to_owned());
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Admits a request to its route, or refuses it. Every request to a route passes here once.
pub async fn guard(State(app): State<App>, matched: MatchedPath, mut request: Request, next: Next) -> Response {
    use axum::response::IntoResponse as _;
    let Some((route, access)) = rule(request.method(), matched.as_str()) else {
        let allowed: Vec<_> = TABLE.iter().filter(|(_, r, _)| *r == matched.as_str()).map(|(m, ..)| *m).collect();
        if allowed.is_empty() {
            return Error::new(Code::Denied, "this route has no access rule").into_response();
        }
        let mut answer = Error::new(Code::MethodNotAllowed, "this address does not take that method")
            .hint(format!("use {}", allowed.join(", ")))
            .into_response();
        if let Ok(value) = http::HeaderValue::try_from(allowed.join(", ")) {
            answer.headers_mut().insert(header::ALLOW, value);
        }
        return answer;
    };
    let near = request.extensions().get::<Peer>().is_some_and(|p| p.0.ip().to_canonical().is_loopback());
    let admitted = admit(&app, access, request.headers(), near).await;
    let mut response = match admitted {
        Err(e) => e.into_response(),
        Ok(None) => next.run(request).await,
        Ok(Some(caller)) => {
            if let Err(e) = extract::check_content_coding(request.headers()) {
                return e.into_response();
            }
            let span = tracing::Span::current();
            span.record("route", route);
            span.record("tenant", caller.tenant.as_str());
            request.extensions_mut().insert(caller.clone());
            let secret = bearer(request.headers()).unwrap_or_default().to_owned();
            let asked = RequestCaller(caller.clone());
            let only_waits = request.method().is_safe() || route == INVOKE_ROUTE;
            let payer = payer_of(&app, &caller);
            request.extensions_mut().insert(payer.clone());
            let is_read = request.method().is_safe();
            let kind = if route == INVOKE_ROUTE { AnswerKind::CallOutput } else { AnswerKind::Resource };
            // The one place that every mutating request of an authenticated caller passes.
            let answer = app.idempotency.once(&app.tasks, &app.aborting, &caller, kind, request, next);
            let answered = match only_waits {
                true => revocation::answer_while_valid(&app, &secret, answer).await,
                // A change that has begun runs to its end, and its caller receives the answer.
                false => Ok(answer.await),
            };
            let answered = answered.unwrap_or_else(Error::into_response);
            // The answer to a change is sent even if no memory is left to charge: the change has been made.
            let answered = if is_read { crate::charged::streamed(answered, &payer) } else { answered };
            let mut answered = revocation::watch(&app, &secret, answered);
            answered.extensions_mut().insert(asked);
            answered
        }
    };
    response.extensions_mut().insert(Route(route));
    response
}

async fn admit(app: &App, access: RequiredAccess, headers: &HeaderMap, near: bool) -> Result<Option<Caller>> {
    match access {
        Open => Ok(None),
        LoopbackOrAdmin => {
            if near && names_loopback(headers) && bearer(headers).is_none() {
                return Ok(None);
            }
            allow(identify(app, headers).await?, Role::Admin)
        }
        RequiredAccess::Role(least) => allow(identify(app, headers).await?, least),
    }
}

fn allow(caller: Caller, least: Role) -> Result<Option<Caller>> {
    if caller.role >= least {
        return Ok(Some(caller));
    }
    let (name, role) = (&caller.name, caller.role);
    Err(Error::new(Code::Denied, format!("this needs the role {least}, and the token `{name}` has {role}"))
        .hint(format!("use a token with that role; an admin creates one: fabric token create NAME --role {least}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_route_that_the_router_would_give_it() {
        for (path, route) in [
            ("/v1/jobs", Some("/v1/jobs")),
            ("/v1/jobs/j1/tasks/map/3/result", Some("/v1/jobs/{id}/tasks/{stage}/{index}/result")),
            ("/v1/objects/a/b/c", Some("/v1/objects/{*path}")),
            ("/v1/objects", Some("/v1/objects")),
            ("/v1/jobs/", None),
            ("/v1/nothing", None),
        ] {
            assert_eq!(route_of(path), route, "{path}");
        }
    }
}
