//! `ANY /f/{tenant}/{function}/…`: the hot path. It does not pass the router: the function is found in a cache by the
//! text in the address, and the guest runs inline in the connection's task.

use crate::{
    Error, access,
    error::{Result, Verbatim},
    functions::Version,
    peers::{
        self,
        near::{self, Offered},
    },
    state::App,
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use fabric_types::{Code, function::EntryKind, id::InvocationId, rest::token::Role};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header, uri::PathAndQuery};
use std::sync::Arc;

/// The prefix of all http functions.
pub const PREFIX: &str = "/f/";
/// What these requests are counted under.
pub const ROUTE: &str = "/f/{tenant}/{function}/{*path}";

/// Headers that concern one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Takes out what concerns one connection only.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if let Some(named) = headers.get(header::CONNECTION).cloned()
        && let Ok(named) = named.to_str()
    {
        for name in named.split(',') {
            if let Ok(name) = name.trim().parse::<HeaderName>() {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Takes out of a request's headers what is not the guest's: what concerns the connection, our mark, and a secret of ours.
fn clean(headers: &mut HeaderMap, hub: bool) {
    if access::carries_secret(headers, hub) {
        headers.remove(header::AUTHORIZATION);
    }
    headers.remove(&peers::RELAYED);
    strip(headers);
}

/// `tenant/function` of an address, and where the guest's path begins.
fn split(path: &str) -> Option<(&str, usize)> {
    let rest = path.strip_prefix(PREFIX)?;
    let slash = rest.find('/')?;
    let end = rest.get(slash + 1..)?.find('/').map_or(rest.len(), |at| slash + 1 + at);
    rest.get(..end).map(|key| (key, PREFIX.len() + end))
}

/// Whether the caller may call it: public, or a token of the tenant.
async fn admit(app: &App, version: &Version, headers: &HeaderMap) -> Result<()> {
    if version.deployment.manifest.function.public {
        return Ok(());
    }
    let caller = access::identify(app, headers).await?;
    if caller.tenant == version.deployment.tenant || caller.role == Role::Admin {
        return Ok(());
    }
    Err(Error::not_found("function", &version.deployment.function))
}

async fn find(app: &App, headers: &HeaderMap, key: &str) -> Result<Arc<Version>> {
    // Who has no token learns nothing about functions that are not public, not even whether they are there.
    match app.functions.resolve_text(key).await {
        Ok(version) if version.deployment.entry.kind == EntryKind::Http => {
            admit(app, &version, headers).await?;
            Ok(version)
        }
        Ok(version) => {
            access::identify(app, headers).await?;
            admit(app, &version, headers).await?;
            Err(Error::new(Code::NotFound, format!("`{}` is not an http function", version.deployment.function))
                .hint("call it with POST /v1/functions/NAME/invoke"))
        }
        Err(e) if e.code() == Code::NotFound => {
            access::identify(app, headers).await?;
            Err(e)
        }
        Err(e) => Err(e),
    }
}

/// Serves one request.
///
/// # Errors
/// Those of the look-up, of the token, and the guest's faults.
pub async fn call<B>(app: &App, id: &InvocationId, request: Request<B>) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display + Into<axum::BoxError>,
{
    let (key, from) = split(request.uri().path()).ok_or_else(|| Error::bad("write /f/TENANT/FUNCTION/…"))?;
    let version = find(app, request.headers(), key).await?;
    let nodes = near::elsewhere(app, &version, request.headers())?;
    if nodes.is_empty() {
        return here(app, id, &version, from, request).await;
    }
    match near::offer_to(app, &nodes, request.map(Body::new)).await? {
        Offered::Answered(response) => Ok(response),
        Offered::Back(request) => here(app, id, &version, from, request).await,
    }
}

/// Runs the function on this node. Its own path begins at `from`.
async fn here<B>(
    app: &App,
    id: &InvocationId,
    version: &Version,
    from: usize,
    mut request: Request<B>,
) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let uri = request.uri();
    let seen = uri.path_and_query().map_or("", PathAndQuery::as_str).get(from..).unwrap_or_default();
    let seen =
        if seen.starts_with('/') { PathAndQuery::try_from(seen) } else { PathAndQuery::try_from(format!("/{seen}")) };
    let seen = seen.map_err(|_| Error::bad("the path can't be read"))?;
    *request.uri_mut() = Uri::from(seen);
    clean(request.headers_mut(), app.services.jupyterhub.is_some());
    answer(app, id, version, request).await
}

/// Runs the guest and passes its answer on.
///
/// # Errors
/// The guest's faults.
pub(super) async fn answer<B>(app: &App, id: &InvocationId, version: &Version, request: Request<B>) -> Result<Response>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let done = app.services.node.http(&version.deployment, id.clone(), request).await;
    let response = done.map_err(|fault| Error::from(fault).about(id.clone()))?;
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    parts.extensions.insert(Verbatim);
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        parts.headers.insert(super::INVOCATION_ID, id);
    }
    Ok(Response::from_parts(parts, Body::new(body)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
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
    fn a_secret_of_ours_never_reaches_a_guest_and_others_do() {
        let ours = format!("Bearer fab_{}_{}", "0".repeat(16), "A".repeat(43));
        for given in [&[ours.as_str()][..], &["Basic abc", &ours]] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(header::AUTHORIZATION, HeaderValue::try_from(*value).unwrap());
            }
            clean(&mut headers, false);
            assert!(headers.is_empty(), "{given:?}");
        }
        for hubs in ["token 0123456789abcdef0123456789abcdef", "Bearer 0123456789abcdef0123456789abcdef"] {
            for hub in [false, true] {
                let mut headers = HeaderMap::new();
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(hubs));
                clean(&mut headers, hub);
                assert_eq!(headers.is_empty(), hub, "{hubs}");
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(&peers::RELAYED, HeaderValue::from_static("1"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer of-the-functions-own"));
        clean(&mut headers, true);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-secret"), ("x-secret", "1"), ("te", "trailers"), ("x-kept", "2")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("x-kept"));
    }
}
