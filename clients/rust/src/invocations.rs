//! Calls of functions.

use crate::{Client, Download, Result, Upload, request::Payload};
use bytes::Bytes;
use fabric_api::invocation::{InvocationQuery, InvokeParams, WaitParams};
use fabric_types::rest::{Page, invocation::Invocation};
use reqwest::Method;
use std::time::Duration;

/// Longest wait that the server allows for one request.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// A call.
pub struct InvokeRequest {
    body: Payload,
    content_type: Option<String>,
    params: Option<String>,
    key: Option<String>,
}

impl InvokeRequest {
    /// Creates a call with a body in memory.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: Payload::Bytes(vec![body.into()]), content_type: None, params: None, key: None }
    }

    /// Creates a call with a streamed body.
    #[must_use]
    pub fn streamed(body: Upload) -> Self {
        Self { body: Payload::Once(body), content_type: None, params: None, key: None }
    }

    /// Sets the media type of the body.
    #[must_use]
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }

    /// Sets the parameters.
    #[must_use]
    pub fn params(mut self, params: &serde_json::Map<String, serde_json::Value>) -> Self {
        if !params.is_empty() {
            self.params = serde_json::to_string(params).ok();
        }
        self
    }

    /// Sets an idempotency key: a repeat of the same call within a day returns the stored response.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// The response to a call.
#[derive(Debug)]
pub struct InvokeResponse {
    /// Invocation id, for logs.
    pub id: Option<String>,
    /// Version that ran.
    pub version: Option<u32>,
    /// Fuel spent.
    pub fuel: Option<u64>,
    /// Device time of its GPU work, in microseconds; `None` if it used no GPU.
    pub gpu_us: Option<u64>,
    /// `true` if the result came from an earlier call.
    pub cached: bool,
    /// Result.
    pub body: Download,
}

impl Client {
    /// Calls a function and waits for its result, for as long as the function's deadline allows. A call may have side
    /// effects, so it is sent only once, unless it has an idempotency key.
    ///
    /// # Errors
    /// The guest's faults, `not-found`, `invalid-params`, `too-many-requests`, and the errors common to all requests.
    pub async fn invoke(&self, function: &str, call: InvokeRequest) -> Result<InvokeResponse> {
        let body = self.call(function, call, "sync")?.download().await?;
        let number = |name| body.header(name).and_then(|v| v.parse::<u64>().ok());
        Ok(InvokeResponse {
            id: body.header("fabric-invocation-id").map(ToOwned::to_owned),
            version: number("fabric-version").and_then(|v| u32::try_from(v).ok()),
            fuel: number("fabric-fuel"),
            gpu_us: number("fabric-gpu-us"),
            cached: body.header("fabric-cached") == Some("true"),
            body,
        })
    }

    /// Starts a call and returns its invocation without waiting for the result.
    ///
    /// # Errors
    /// `not-found`, `invalid-params`, and the errors common to all requests.
    pub async fn invoke_async(&self, function: &str, call: InvokeRequest) -> Result<Invocation> {
        let key = call.key.clone();
        let request = self.call(function, call, "async")?;
        // Without a key from the caller, a generated one makes the request safe to repeat.
        let request = if key.is_none() { request.idempotent(None)? } else { request };
        request.read().await
    }

    fn call(&self, function: &str, call: InvokeRequest, mode: &str) -> Result<crate::request::Request<'_>> {
        let query = InvokeParams { mode: Some(mode.to_owned()), params: call.params };
        let mut request = self
            .request(Method::POST, &["functions", function, "invoke"])?
            .query(&query)?
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
    /// The errors common to all requests. If the function responds with a status of 400 or above, that is a problem
    /// too.
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
        request.without_retry().download().await
    }

    /// Lists invocations, newest first.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn invocations(&self, filter: &InvocationQuery) -> Result<Page<Invocation>> {
        self.request(Method::GET, &["invocations"])?.query(filter)?.read().await
    }

    /// Returns an invocation. With `wait`, the server responds when it ends or the time (at most 60 s) has passed.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn invocation(&self, id: &str, wait: Option<Duration>) -> Result<Invocation> {
        let request = self.request(Method::GET, &["invocations", id])?;
        self.with_wait(request, wait)?.read().await
    }

    /// Downloads the result of an invocation.
    ///
    /// # Errors
    /// `not-found` until the result is available, the guest's fault if the call failed, and the errors common to all
    /// requests.
    pub async fn invocation_result(&self, id: &str) -> Result<Download> {
        self.request(Method::GET, &["invocations", id, "result"])?.download().await
    }

    /// Cancels an invocation.
    ///
    /// # Errors
    /// `not-found`, `conflict`, and the errors common to all requests.
    pub async fn cancel_invocation(&self, id: &str) -> Result<Invocation> {
        self.request(Method::POST, &["invocations", id, "cancel"])?.idempotent(None)?.read().await
    }

    /// Lets the server hold its response for up to `wait`.
    pub(crate) fn with_wait<'a>(
        &self,
        request: crate::request::Request<'a>,
        wait: Option<Duration>,
    ) -> Result<crate::request::Request<'a>> {
        let Some(wait) = wait.map(|wait| wait.min(LONGEST_POLL)) else { return Ok(request) };
        let request = request.query(&WaitParams { wait: Some(wait.as_secs()) })?;
        Ok(request.timeout(Some(wait + self.options.request_timeout)))
    }
}
