//! `ANY /f/{tenant}/{function}/…`: the hot path. It bypasses the router: the function is found in a cache by the text
//! in the path, and the guest runs inline in the connection's task.

use super::confine::{HeaderScope, confine};
use crate::{
    Error,
    access::{self, revocation},
    caller::{self, Caller},
    error::{Result, Verbatim},
    functions::ResolvedVersion,
    headers::{self, strip},
    hosts::{self, HostTarget},
    paths::FUNCTIONS_PREFIX,
    peers::call_routing::{self, Offered},
    state::App,
    trailers::MapTrailers,
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use fabric_types::{Code, code::Class, function::EntryKind, id::InvocationId, rest::token::Role};
use http::{HeaderMap, HeaderValue, Request, Uri, header, uri::PathAndQuery};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Removes headers that a guest must not receive: those of the connection, the mark of forwarded requests, and secrets.
fn remove_private_headers(headers: &mut HeaderMap, hub: bool) {
    access::secrets::withhold(headers, hub);
    headers.remove(&headers::RELAYED);
    strip(headers);
}

/// Returns the `tenant/function` of a path, and the index at which the guest's path begins.
fn split(path: &str) -> Option<(&str, usize)> {
    let rest = path.strip_prefix(FUNCTIONS_PREFIX)?;
    let slash = rest.find('/')?;
    let end = rest.get(slash + 1..)?.find('/').map_or(rest.len(), |at| slash + 1 + at);
    rest.get(..end).map(|key| (key, FUNCTIONS_PREFIX.len() + end))
}

/// Refusals of callers outside the tenant are sent at multiples of this time, so that their timing reveals nothing: a
/// lookup takes another time if the function exists.
const REFUSAL_STEP: Duration = Duration::from_millis(20);

/// Returns the one error for callers that may not learn if a function exists.
fn unknown(key: &str) -> Error {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    Error::not_found("function", name).hint("`fabric functions` lists what is deployed")
}

/// Returns `true` if the caller may see the functions of the tenant in `key`, which is `tenant/function`.
fn is_of_tenant(caller: &Caller, key: &str) -> bool {
    caller.role == Role::Admin || key.split_once('/').is_some_and(|(tenant, _)| tenant == caller.tenant.as_str())
}

/// Checks that the caller belongs to the tenant. `key` is `tenant/function` as requested; the request began at `began`.
async fn admit(app: &App, headers: &HeaderMap, key: &str, began: Instant) -> Result<()> {
    let refused = match access::identify(app, headers).await {
        Ok(caller) if is_of_tenant(&caller, key) => return Ok(()),
        Ok(_) => unknown(key),
        Err(e) => e,
    };
    let steps = began.elapsed().div_duration_f64(REFUSAL_STEP).floor() + 1.0;
    tokio::time::sleep_until(began + REFUSAL_STEP.mul_f64(steps)).await;
    Err(refused)
}

/// Returns a function that the caller may call, and the secret that authenticated the caller if the function is not
/// public.
async fn authorize(app: &App, headers: &HeaderMap, key: &str) -> Result<(Arc<ResolvedVersion>, Option<String>)> {
    let began = Instant::now();
    let found = app.functions.resolve_text(key).await;
    if let Ok(version) = &found
        && version.deployment.manifest.function.public
        && version.deployment.entry.kind == EntryKind::Http
        && app.functions.is_open(key).await
    {
        return Ok((version.clone(), None));
    }
    // A caller outside the tenant learns only of its public functions, and cannot tell if others exist.
    match found {
        Err(e) if e.code() != Code::NotFound => return Err(e),
        _ => admit(app, headers, key, began).await?,
    }
    let version = found?;
    if version.deployment.entry.kind != EntryKind::Http {
        return Err(Error::new(Code::NotFound, format!("`{}` is not an http function", version.deployment.function))
            .hint("call it with POST /v1/functions/NAME/invoke"));
    }
    Ok((version, caller::bearer(headers).map(str::to_owned)))
}

/// Serves one request.
///
/// # Errors
/// The errors of the lookup and of the token, and the guest's faults.
pub(crate) async fn call<B>(app: &App, id: &InvocationId, target: HostTarget, request: Request<B>) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display + Into<axum::BoxError>,
{
    let place = match target {
        HostTarget::Function(key) => FunctionPath { key, from: 0, own_host: true },
        HostTarget::Main => {
            let (key, from) = split(request.uri().path()).ok_or_else(|| Error::bad("write /f/TENANT/FUNCTION/…"))?;
            FunctionPath { key: key.to_owned(), from, own_host: false }
        }
        HostTarget::Nothing => return Err(Error::new(Code::NotFound, "there is nothing at this host")),
    };
    let hub = app.services.jupyterhub.is_some();
    if access::secrets::are_in_address(request.uri(), request.headers(), hub) {
        return Err(Error::bad("there is a token in the address, where logs and functions would see it")
            .hint("send it as `Authorization: Bearer SECRET`, and revoke it if it has been seen"));
    }
    let (version, secret) = authorize(app, request.headers(), &place.key).await?;
    // The caller of a public function is identified only if that matters.
    let unidentified = secret.is_none().then(|| request.headers().get(header::AUTHORIZATION).cloned());
    if !place.own_host && place.is_bare(request.uri()) && request.headers().contains_key("service-worker") {
        // A script at this address could take over all functions of the tenant: its scope is the folder that contains
        // it.
        return Err(Error::bad("a service worker's script has to lie below the function's address"));
    }
    let peers = app.services.peers.as_deref();
    let placement = call_routing::place(&app.services.node, peers, &version, request.headers())?;
    let answered = if placement.nodes.is_empty() {
        run_locally(app, id, &version, &place, request).await
    } else {
        match call_routing::offer_to(peers, &placement, request.map(Body::new)).await? {
            Offered::Answered(response) => Ok(response),
            Offered::NotTaken(request) => run_locally(app, id, &version, &place, request).await,
        }
    };
    let response = match (answered, unidentified) {
        (Err(error), Some(authorization)) if error.code().class() == Class::Guest => {
            return Err(if is_of_owners(app, authorization, &place.key).await { error } else { opaque_failure(id) });
        }
        (answered, _) => answered?,
    };
    Ok(match secret {
        Some(secret) => revocation::watch(app, &secret, response),
        None => response,
    })
}

/// Returns `true` if the sender of this `Authorization` header belongs to the function's tenant.
async fn is_of_owners(app: &App, authorization: Option<HeaderValue>, key: &str) -> bool {
    let Some(authorization) = authorization else { return false };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization)]);
    access::identify(app, &headers).await.is_ok_and(|caller| is_of_tenant(&caller, key))
}

/// Returns the error that callers outside the tenant receive for a failure of a public function. The reason, the output
/// and the cost are visible only to the owner, under the invocation's id.
fn opaque_failure(id: &InvocationId) -> Error {
    Error::new(Code::Internal, "the function failed").about(id.clone())
}

/// The function that a request addresses.
struct FunctionPath {
    /// `tenant/function`, optionally with a version or an alias.
    key: String,
    /// The index at which the guest's path begins.
    from: usize,
    /// `true` if the host is the function's alone.
    own_host: bool,
}

impl FunctionPath {
    /// Returns `true` if nothing follows the function's name.
    fn is_bare(&self, uri: &Uri) -> bool {
        uri.path().len() == self.from
    }
}

/// Runs the function on this node.
async fn run_locally<B>(
    app: &App,
    id: &InvocationId,
    version: &ResolvedVersion,
    place: &FunctionPath,
    mut request: Request<B>,
) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let uri = request.uri();
    let seen = uri.path_and_query().map_or("", PathAndQuery::as_str).get(place.from..).unwrap_or_default();
    let seen =
        if seen.starts_with('/') { PathAndQuery::try_from(seen) } else { PathAndQuery::try_from(format!("/{seen}")) };
    let seen = seen.map_err(|_| Error::bad("the path can't be read"))?;
    *request.uri_mut() = hosts::with_path(std::mem::take(request.uri_mut()), seen)?;
    let hub = app.services.jupyterhub.is_some();
    remove_private_headers(request.headers_mut(), hub);
    let request = request.map(|body| {
        MapTrailers::new(body, move |trailers: &mut HeaderMap| {
            remove_private_headers(trailers, hub);
            trailers.remove(header::AUTHORIZATION);
        })
    });
    let mut response = answer(app, id, version, request).await?;
    if place.own_host {
        confine(response.headers_mut(), HeaderScope::Host);
    } else {
        confine(response.headers_mut(), HeaderScope::Path(&place.key));
    }
    Ok(response)
}

/// Runs the guest and returns its answer.
///
/// # Errors
/// The guest's faults.
pub(super) async fn answer<B>(
    app: &App,
    id: &InvocationId,
    version: &ResolvedVersion,
    request: Request<B>,
) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let done = app.services.node.http(&version.deployment, id.clone(), request).await;
    let response = done.map_err(|fault| Error::from(fault).about(id.clone()))?;
    if response.status().is_informational() {
        // The client would read it as the beginning of an answer, or as a switch to another protocol.
        return Err(Error::new(
            Code::GuestContract,
            format!("the function answered with status {}, which is not a final response", response.status().as_u16()),
        )
        .about(id.clone()));
    }
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    let body = MapTrailers::new(body, |trailers: &mut HeaderMap| {
        strip(trailers);
        confine(trailers, HeaderScope::Nothing);
    });
    parts.extensions.insert(Verbatim);
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        parts.headers.insert(headers::INVOCATION_ID, id);
    }
    Ok(Response::from_parts(parts, Body::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_after_the_function() {
        assert_eq!(split("/f/acme/web"), Some(("acme/web", 11)));
        assert_eq!(split("/f/acme/web/"), Some(("acme/web", 11)));
        assert_eq!(split("/f/acme/web:live/a/b"), Some(("acme/web:live", 16)));
        assert_eq!(split("/f/acme"), None);
        assert_eq!(split("/g/acme/web"), None);
    }

    #[test]
    fn our_mark_and_our_secrets_never_reach_a_guest() {
        let mut headers = HeaderMap::new();
        headers.insert(&headers::RELAYED, HeaderValue::from_static("1"));
        let ours = format!("Bearer fab_{}_{}", "0".repeat(16), "A".repeat(43));
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(ours).unwrap());
        headers.insert("x-own", HeaderValue::from_static("Bearer of-the-functions-own"));
        remove_private_headers(&mut headers, true);
        assert_eq!(headers.len(), 1);
    }
}
