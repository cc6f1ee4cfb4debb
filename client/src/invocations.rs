//! Calling functions.

use crate::{Client, Download, Paging, Result, Upload, functions::push, request::Payload};
use bytes::Bytes;
use fabric_types::rest::{Page, invocation::Invocation};
use reqwest::Method;
use std::time::Duration;

/// The longest wait that the server grants to one request.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// A call.
pub struct Invoke {
    body: Payload,
    content_type: Option<String>,
    params: Option<String>,
    key: Option<String>,
}

impl Invoke {
    /// A call with a body in memory.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: Payload::Bytes(vec![body.into()]), content_type: None, params: None, key: None }
    }

    /// A call whose body is streamed.
    #[must_use]
    pub fn streamed(body: Upload) -> Self {
        Self { body: Payload::Once(body), content_type: None, params: None, key: None }
    }

    /// The body's media type.
    #[must_use]
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }

    /// Parameters.
    #[must_use]
    pub fn params(mut self, params: &serde_json::Map<String, serde_json::Value>) -> Self {
        if !params.is_empty() {
            self.params = serde_json::to_string(params).ok();
        }
        self
    }

    /// Makes a repeat of the same call give the stored answer for a day.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// The answer to a call.
#[derive(Debug)]
pub struct Invoked {
    /// Its id, for logs.
    pub id: Option<String>,
    /// The version that ran.
    pub version: Option<u32>,
    /// Fuel spent.
    pub fuel: Option<u64>,
    /// Device time of its GPU work, in microseconds; none where there was none.
    pub gpu_us: Option<u64>,
    /// Whether the result came from an earlier call.
    pub cached: bool,
    /// The result.
    pub body: Download,
}

/// Which invocations to list.
#[derive(Debug, Clone, Default)]
pub struct InvocationFilter {
    /// Of one function.
    pub function: Option<String>,
    /// In one state.
    pub state: Option<String>,
    /// Accepted since.
    pub since_ms: Option<u64>,
    /// Which page.
    pub paging: Paging,
}

impl Client {
    /// Calls a function and waits for its result, as long as its own deadline allows. Sent once, unless it has an
    /// idempotency key: a call may have effects.
    ///
    /// # Errors
    /// The guest's faults, `not-found`, `invalid-params`, `too-many-requests` and those of every request.
    pub async fn invoke(&self, function: &str, call: Invoke) -> Result<Invoked> {
        let body = self.call(function, call, "sync")?.download().await?;
        let number = |name| body.header(name).and_then(|v| v.parse::<u64>().ok());
        Ok(Invoked {
            id: body.header("fabric-invocation-id").map(ToOwned::to_owned),
            version: number("fabric-version").and_then(|v| u32::try_from(v).ok()),
            fuel: number("fabric-fuel"),
            gpu_us: number("fabric-gpu-us"),
            cached: body.header("fabric-cached") == Some("true"),
            body,
        })
    }

    /// Accepts a call and gives its handle at once.
    ///
    /// # Errors
    /// `not-found`, `invalid-params` and those of every request.
    pub async fn invoke_async(&self, function: &str, call: Invoke) -> Result<Invocation> {
        let key = call.key.clone();
        let request = self.call(function, call, "async")?;
        // Nothing is stored for a body that can't be sent again.
        let request = if key.is_none() { request.idempotent(None)? } else { request };
        request.read().await
    }

    fn call(&self, function: &str, call: Invoke, mode: &str) -> Result<crate::request::Request<'_>> {
        let mut query = vec![("mode", mode.to_owned())];
        push(&mut query, "params", call.params);
        let mut request = self
            .request(Method::POST, &["functions", function, "invoke"])?
            .query(&query)
            .payload(call.body)
            .timeout(None)
            .header("content-type", call.content_type.as_deref().unwrap_or("application/octet-stream"));
        if let Some(key) = &call.key {
            request = request.idempotent(Some(key))?;
        }
        Ok(request)
    }

    /// Calls an http function at `/f/{tenant}/{function}/{path}`.
    ///
    /// # Errors
    /// Those of every request; a status of 400 and above that the function itself sent comes as a problem too.
    pub async fn fetch(
        &self,
        tenant: &str,
        function: &str,
        path: &str,
        method: Method,
        body: Bytes,
    ) -> Result<Download> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut segments = vec!["f", tenant, function];
        segments.push(path);
        let mut request = self.request_at(method, &segments)?.payload(Payload::Bytes(vec![body])).timeout(None);
        if !query.is_empty() {
            request = request.raw_query(query);
        }
        request.once().download().await
    }

    /// Invocations, newest first.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn invocations(&self, filter: &InvocationFilter) -> Result<Page<Invocation>> {
        let mut query = Vec::new();
        push(&mut query, "function", filter.function.as_ref());
        push(&mut query, "state", filter.state.as_ref());
        push(&mut query, "since_ms", filter.since_ms);
        filter.paging.query(&mut query);
        self.request(Method::GET, &["invocations"])?.query(&query).read().await
    }

    /// One invocation; with `wait`, the answer comes when it ends or the time (at most 60 s) is over.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn invocation(&self, id: &str, wait: Option<Duration>) -> Result<Invocation> {
        let request = self.request(Method::GET, &["invocations", id])?;
        self.waiting(request, wait).read().await
    }

    /// An invocation's result.
    ///
    /// # Errors
    /// `not-found` until it is there, the guest's fault where it failed, and those of every request.
    pub async fn invocation_result(&self, id: &str) -> Result<Download> {
        self.request(Method::GET, &["invocations", id, "result"])?.download().await
    }

    /// Stops an invocation.
    ///
    /// # Errors
    /// `not-found`, `conflict` and those of every request.
    pub async fn cancel_invocation(&self, id: &str) -> Result<Invocation> {
        self.request(Method::POST, &["invocations", id, "cancel"])?.idempotent(None)?.read().await
    }

    pub(crate) fn waiting<'a>(
        &self,
        request: crate::request::Request<'a>,
        wait: Option<Duration>,
    ) -> crate::request::Request<'a> {
        match wait {
            None => request,
            Some(wait) => {
                let wait = wait.min(LONGEST_POLL);
                request.query(&[("wait", wait.as_secs().to_string())]).timeout(Some(wait + self.options.answer_timeout))
            }
        }
    }
}
