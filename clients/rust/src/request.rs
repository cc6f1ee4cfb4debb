//! Requests and responses: headers, timeouts, retries and problem documents. All routes use this module.

use crate::{Error, Options, Result, body::Upload, error::origin, idempotency_key, init_tls, retry};
use bytes::Bytes;
use fabric_api::Problem;
use fabric_types::Code;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

/// Maximum size of a problem document. Longer ones are cut.
const PROBLEM_LIMIT: usize = 256 << 10;
/// Maximum size of a JSON response: a page has at most 1000 items.
pub(crate) const JSON_LIMIT: u64 = 64 << 20;

/// Characters that are percent-encoded in a path: all except `/` and the characters of RFC 3986's `pchar`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// A client of one server. It is cheap to clone; clones share their connections.
///
/// Dropping the future of a method drops its connection. The server may or may not have processed the request by then.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) options: Arc<Options>,
}

/// The body of a request.
pub(crate) enum Payload {
    None,
    /// In memory, and can be sent again.
    Bytes(Vec<Bytes>),
    /// Can be sent only once.
    Once(Upload),
}

/// A request under construction.
pub(crate) struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    payload: Payload,
    repeatable: bool,
    timeout: Option<Duration>,
}

impl Client {
    /// Creates a client. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for an invalid address, token or certificate.
    pub fn new(options: Options) -> Result<Self> {
        init_tls();
        let mut base = Url::parse(options.url.trim_end_matches('/'))
            .map_err(|e| Error::Setting(format!("`{}` is not a server address: {e}", options.url)))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(Error::Setting(format!("`{}` is not a server address: use http:// or https://", options.url)));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::Setting("put the token into its own setting, not into the address".to_owned()));
        }
        base.set_query(None);
        base.set_fragment(None);
        let mut headers = header::HeaderMap::new();
        if let Some(token) = &options.token {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Error::Setting("the token holds characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(tenant) = &options.tenant {
            let value = header::HeaderValue::from_str(tenant)
                .map_err(|_| Error::Setting(format!("`{}` is not a tenant name", tenant.escape_debug())))?;
            headers.insert("fabric-tenant", value);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("fabric/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            // A redirect could send the token to another server, and this API has no redirects.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &options.ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|e| Error::Setting(format!("the CA certificates can't be read: {e}")))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|e| Error::Setting(format!("can't create the HTTP client: {}", crate::error::root_cause(&e))))?;
        Ok(Self { http, base, options: Arc::new(options) })
    }

    /// Returns the server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Creates a request to `/v1` and the segments, each percent-encoded. A segment may contain `/`, for object paths.
    /// The server receives each segment unchanged.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Result<Request<'_>> {
        let mut all = vec!["v1"];
        all.extend_from_slice(segments);
        self.request_at(method, &all)
    }

    pub(crate) fn request_at(&self, method: Method, segments: &[&str]) -> Result<Request<'_>> {
        let mut url = self.base.clone();
        for part in segments.iter().flat_map(|s| s.split('/')) {
            // Resolving these by the rules of URLs would lead to another route.
            if part == "." || part == ".." {
                return Err(Error::Setting(format!("`{part}` can't be part of a path")));
            }
        }
        // `Url` drops tabs and line feeds from its input, so they are percent-encoded first.
        let mut path = url.path().trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, ENCODED));
        }
        url.set_path(&path);
        let repeatable = matches!(method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE);
        Ok(Request {
            client: self,
            method,
            url,
            headers: Vec::new(),
            payload: Payload::None,
            repeatable,
            timeout: Some(self.options.request_timeout),
        })
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

impl<'a> Request<'a> {
    /// Adds the fields of `params` to the query.
    pub(crate) fn query<T: Serialize>(mut self, params: &T) -> Result<Self> {
        let added = serde_urlencoded::to_string(params)
            .map_err(|e| Error::Setting(format!("can't be written as a query: {e}")))?;
        if !added.is_empty() {
            let query = self.url.query().map_or_else(|| added.clone(), |query| format!("{query}&{added}"));
            self.url.set_query(Some(&query));
        }
        Ok(self)
    }

    /// Sets a raw query string. Control characters are percent-encoded, because `Url` would drop some of them.
    pub(crate) fn raw_query(mut self, query: &str) -> Self {
        self.url.set_query(Some(&utf8_percent_encode(query, CONTROLS).to_string()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json<T: Serialize>(mut self, value: &T) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(|e| Error::Setting(format!("can't be written as JSON: {e}")))?;
        self.payload = Payload::Bytes(vec![text.into()]);
        Ok(self.header("content-type", "application/json"))
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        if matches!(payload, Payload::Once(_)) {
            self.repeatable = false;
        }
        self.payload = payload;
        self
    }

    /// Adds an idempotency key, which makes a POST safe to repeat: for a known key the server returns the stored
    /// response.
    pub(crate) fn idempotent(mut self, key: Option<&str>) -> Result<Self> {
        let key = key.map_or_else(idempotency_key, |k| Ok(k.to_owned()))?;
        self.repeatable = !matches!(self.payload, Payload::Once(_));
        Ok(self.header("idempotency-key", key))
    }

    /// Sets the timeout for the head of the response; `None` for no limit.
    pub(crate) fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Disables retries.
    pub(crate) fn without_retry(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Sends the request. Retries if that is safe and the error may be temporary.
    pub(crate) async fn send(mut self) -> Result<Response> {
        let attempts = if self.repeatable { self.client.options.attempts } else { 1 };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = self.attempt().await;
            let (error, asked) = match outcome {
                Ok(response) if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED => {
                    return Ok(response);
                }
                Ok(response) => {
                    let asked = retry_after(&response);
                    (problem(response).await, asked)
                }
                Err(error) => (error, None),
            };
            let again = match &error {
                Error::Problem(p) => retry::should_retry(p.code),
                // No retry after a refused connection or a bad certificate: waiting is the caller's decision.
                Error::Unreachable { reason, .. } => !reason.contains("refused") && !reason.contains("certificate"),
                Error::Timeout { .. } => true,
                _ => false,
            };
            if !again || attempt >= attempts {
                return Err(error);
            }
            tokio::time::sleep(retry::backoff(attempt - 1, retry::random_fraction(), asked)).await;
        }
    }

    async fn attempt(&mut self) -> Result<Response> {
        let mut request = self.client.http.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let payload = match &self.payload {
            Payload::Bytes(_) | Payload::None => None,
            Payload::Once(_) => Some(std::mem::replace(&mut self.payload, Payload::None)),
        };
        request = match (payload, &self.payload) {
            (Some(Payload::Once(upload)), _) => {
                if let Some(len) = upload.len {
                    request = request.header(header::CONTENT_LENGTH, len);
                }
                request.body(reqwest::Body::wrap_stream(upload.stream))
            }
            (_, Payload::Bytes(chunks)) => match chunks.as_slice() {
                [one] => request.body(one.clone()),
                many => {
                    let len: usize = many.iter().map(Bytes::len).sum();
                    let chunks: Vec<std::io::Result<Bytes>> = many.iter().cloned().map(Ok).collect();
                    request
                        .header(header::CONTENT_LENGTH, len)
                        .body(reqwest::Body::wrap_stream(futures::stream::iter(chunks)))
                }
            },
            _ => request,
        };
        let sent = request.send();
        let sent = match self.timeout {
            Some(limit) => tokio::time::timeout(limit, sent)
                .await
                .map_err(|_| Error::Timeout { url: origin(&self.url), seconds: limit.as_secs() })?,
            None => sent.await,
        };
        sent.map_err(|e| Error::transport(&self.url, &e))
    }

    /// Sends the request and parses the response as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(self) -> Result<T> {
        let limit = self.client.options.idle_timeout;
        let response = self.send().await?;
        let url = response.url().clone();
        let bytes = crate::Download::new(response, limit).bytes(JSON_LIMIT).await?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::Protocol { url: origin(&url) + url.path(), reason: format!("unexpected JSON: {e}") })
    }

    /// Sends the request and discards the response.
    pub(crate) async fn send_and_discard(self) -> Result<()> {
        self.send().await.map(drop)
    }

    /// Sends the request and returns the body as a stream.
    pub(crate) async fn download(self) -> Result<crate::Download> {
        let idle = self.client.options.idle_timeout;
        Ok(crate::Download::new(self.send().await?, idle))
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads an error response. A body that is not a problem document is converted to one, by its status.
async fn problem(mut response: Response) -> Error {
    let status = response.status();
    let url = response.url().clone();
    let mut body = Vec::new();
    while body.len() < PROBLEM_LIMIT {
        match tokio::time::timeout(Duration::from_secs(10), response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
        return Error::Problem(Box::new(problem));
    }
    let code = match status.as_u16() {
        400 => Code::BadRequest,
        401 => Code::Unauthenticated,
        403 => Code::Denied,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        409 => Code::Conflict,
        412 => Code::PreconditionFailed,
        413 => Code::TooLarge,
        416 => Code::RangeNotSatisfiable,
        429 => Code::TooManyRequests,
        502..=504 => Code::Unavailable,
        500..=599 => Code::Internal,
        _ => {
            return Error::Protocol { url: origin(&url) + url.path(), reason: format!("status {status}") };
        }
    };
    let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
    let detail = if text.trim().is_empty() || text.trim_start().starts_with('<') {
        format!("{}{} answered {status}", origin(&url), url.path())
    } else {
        text.trim().to_owned()
    };
    Error::Problem(Box::new(Problem {
        kind: format!("urn:fabric:error:{code}"),
        title: code.as_str().replace(['-', ':'], " "),
        status: status.as_u16(),
        detail,
        code,
        hint: None,
        invocation_id: None,
        stderr: Vec::new(),
        backtrace: Vec::new(),
        fuel: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_the_server_as_they_are() {
        for base in ["http://127.0.0.1:1", "http://127.0.0.1:1/under/"] {
            let client = Client::new(Options::new(base)).unwrap();
            for (segment, sent) in [
                ("dir/a\tb", "dir/a%09b"),
                ("a\nb\rc\0", "a%0Ab%0Dc%00"),
                (" a ", "%20a%20"),
                ("a//b/", "a//b/"),
                ("a\\b", "a%5Cb"),
                ("%2e%2E/50%", "%252e%252E/50%25"),
                ("a?b#c", "a%3Fb%23c"),
                ("ü{}|^`<>\"", "%C3%BC%7B%7D%7C%5E%60%3C%3E%22"),
                ("f@1:live+a=b", "f@1:live+a=b"),
            ] {
                let request = client.request(Method::GET, &["objects", segment]).unwrap();
                let before = base.trim_end_matches('/');
                assert_eq!(request.url.as_str(), format!("{before}/v1/objects/{sent}"), "{segment:?}");
            }
            let request = client.request(Method::GET, &["x"]).unwrap().raw_query("a=\tb&c=%41 d");
            assert_eq!(request.url.query(), Some("a=%09b&c=%41%20d"));
            for refused in [".", "..", "a/../b", "./a"] {
                assert!(client.request(Method::GET, &["objects", refused]).is_err(), "{refused}");
            }
        }
    }
}
