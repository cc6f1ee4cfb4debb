//! Passing one request on and its answer back, bodies streaming both ways.

use super::{RELAYED, held::Held};
use crate::{error::Verbatim, routes::http_functions::strip};
use axum::{body::Body, response::Response};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, header, uri::PathAndQuery};

/// A request that is to be passed on, perhaps to one after another.
pub(super) struct Passing {
    pub(super) method: Method,
    path: String,
    headers: HeaderMap,
    pub(super) body: Held,
}

/// Marks the answer of another process: it has its own request id.
#[derive(Debug, Clone, Copy)]
pub struct Passed;

impl Passing {
    pub(super) fn new(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let mut headers = parts.headers;
        // HTTP/2 has the host in the address; the one who answers wants to see what the caller meant.
        if let (None, Some(host)) = (headers.get(header::HOST), parts.uri.authority())
            && let Ok(host) = HeaderValue::from_str(host.as_str())
        {
            headers.insert(header::HOST, host);
        }
        strip(&mut headers);
        headers.insert(RELAYED, HeaderValue::from_static("1"));
        Self { method: parts.method, path, headers, body: Held::new(body) }
    }

    /// Sends it. While [`Held::is_whole`] it may be sent to another after a failure.
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
        response.extensions_mut().insert(Passed);
        *response.body_mut() = Body::from_stream(sent.bytes_stream().map(|piece| piece.map_err(axum::BoxError::from)));
        Ok(response)
    }
}
