//! Forwarding of one request and its answer. Bodies are streamed in both directions.

use super::replayable_body::ReplayableBody;
use crate::{
    error::Verbatim,
    headers::{RELAYED, strip},
};
use axum::{body::Body, response::Response};
use http::{
    HeaderMap, HeaderValue, Method, Request, header,
    uri::{PathAndQuery, Scheme},
};

/// A request to be forwarded, possibly to several processes in turn.
pub(super) struct ForwardedRequest {
    pub(super) method: Method,
    path: String,
    headers: HeaderMap,
    pub(super) body: ReplayableBody,
}

/// Marks the answer of another process, which has its own request id.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded;

impl ForwardedRequest {
    pub(super) fn new(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let mut headers = parts.headers;
        strip(&mut headers);
        // Set after stripping, so that a `Connection` header cannot remove them: the receiver needs the caller's host
        // and scheme.
        if let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(header::HOST, host);
        }
        let tls = parts.uri.scheme() == Some(&Scheme::HTTPS);
        headers.insert(RELAYED, HeaderValue::from_static(if tls { "https" } else { "http" }));
        Self { method: parts.method, path, headers, body: ReplayableBody::new(body) }
    }

    /// Sends the request. While [`ReplayableBody::is_whole`] it may be sent to another process after a failure.
    pub(super) async fn send(&self, client: &reqwest::Client, to: &str) -> Result<Response, reqwest::Error> {
        let mut request =
            client.request(self.method.clone(), format!("{to}{}", self.path)).headers(self.headers.clone());
        if let Some(body) = self.body.for_a_try() {
            request = request.body(body);
        }
        let sent = request.send().await?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = sent.status();
        *response.headers_mut() = sent.headers().clone();
        strip(response.headers_mut());
        response.extensions_mut().insert(Verbatim);
        response.extensions_mut().insert(Forwarded);
        // A body rather than a stream of bytes, so that trailers are included.
        *response.body_mut() = Body::new(reqwest::Body::from(sent));
        Ok(response)
    }
}
