//! Runs one request to a `wasi:http/proxy` component in a new instance. The guest runs inside the connection's own task
//! until its response begins. Most guests have finished by then.
//!
//! A guest that is still running moves to its own task, so that it makes progress and its deadline applies even if
//! nobody reads the body: a client that does not read must not hold a slot. Dropping the [`ResponseBody`] terminates
//! the guest, unless the client has everything that it will read. In that case the guest runs to completion, and its
//! remaining output is discarded.

use crate::{
    call::{CallReport, CallSpec, OpenCall, open},
    entry::{
        guest_task::{CompletionGuard, Guest, GuestHandle},
        request_body::{self, RequestBody},
        response_body::ResponseBody,
    },
    fault::{FaultError, WorkUnit},
    host::Inner,
    load::{Linked, Loaded},
    logs::LogSink,
    output::Output,
};
use bytes::Bytes;
use fabric_types::{Code, Cost, Fault, limits::Limits};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::{
    WasiHttpView as _,
    p2::{
        bindings::http::types::{ErrorCode, Scheme},
        body::HyperOutgoingBody,
    },
};

/// Parameters of an http call in addition to the request.
pub struct HttpCall {
    /// Limits of the call.
    pub limits: Limits,
    /// Receiver of log lines. `None` discards them.
    pub logs: Option<Arc<dyn LogSink>>,
    /// Cancels the call, which then fails with `cancelled`.
    pub cancel: CancellationToken,
    /// `true` if the client connected over TLS.
    pub https: bool,
    /// Called once with the outcome of the call. If the client disconnects before it has the whole response, the result
    /// is `cancelled`, with the resources spent until then.
    pub on_complete: Option<Box<dyn FnOnce(HttpReport) + Send>>,
}

impl HttpCall {
    /// Creates a call within `limits`, without TLS, logs or a report.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, logs: None, cancel: CancellationToken::new(), https: false, on_complete: None }
    }
}

/// The outcome of an http call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReport {
    /// The fault if the call failed.
    pub result: Result<(), Fault>,
    /// Cost of the call. Bytes in and out are not measured and 0.
    pub cost: Cost,
    /// Bytes logged.
    pub log_bytes: u64,
}

type HttpResult = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Runs a request until its response begins. The rest of the response follows in the body.
pub(crate) async fn handle<B>(
    inner: Arc<Inner>,
    loaded: &Loaded,
    request: http::Request<B>,
    call: HttpCall,
) -> Result<http::Response<ResponseBody>, Fault>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let HttpCall { limits, logs, cancel, https, on_complete } = call;
    let shared = inner.call_shared(loaded, &limits, Output::discard(), logs);
    let mut completion = CompletionGuard::new(on_complete, shared.clone());
    let (max_request, max_response) = (limits.body_bytes.0, limits.output_bytes.0);
    let observer = inner.observer.clone();
    let spec = CallSpec { observer, cancel, ..CallSpec::new(loaded, WorkUnit::Request, "http", limits) };
    let (send, mut receive) = oneshot::channel();
    let method = request.method().clone();
    // The body's announced size first: a request that is refused for it takes no slot.
    let request = match request_body::limit(request, max_request) {
        Ok(request) => request,
        Err(fault) => return Err(completion.fail(fault)),
    };
    let call = match open(&inner, spec, shared.clone()).await {
        Ok(call) => call,
        Err(fault) => return Err(completion.fail(fault)),
    };
    let guest_tasks = inner.guest_tasks.clone();
    let scheme = if https { Scheme::Https } else { Scheme::Http };
    let mut guest: Guest = Box::pin(run(call, request, scheme, send));
    let mut finished = None;
    let result: Option<HttpResult> = tokio::select! {
        // The guest first: most guests finish at the first poll, and their body is available together with the head.
        biased;
        report = &mut guest => {
            finished = Some(report);
            receive.try_recv().ok()
        }
        result = &mut receive => result.ok(),
    };
    match (result, finished) {
        (Some(Ok(response)), finished) => {
            let guest = match finished {
                Some(report) => {
                    let result = report.result.clone();
                    completion.report(report);
                    result?;
                    None
                }
                None => Some(GuestHandle::start(&guest_tasks, guest, completion, shared)),
            };
            Ok(ResponseBody::new(response, &method, max_response, guest, guest_tasks))
        }
        (result, finished) => {
            let report = match finished {
                Some(report) => report,
                None => guest.await,
            };
            let fault = match (&report.result, result) {
                (Err(fault), _) => fault.clone(),
                (Ok(()), Some(Err(code))) => {
                    Fault::new(Code::FunctionFailed, format!("the function answered with an error: {code}"))
                }
                _ => Fault::new(Code::GuestContract, "the function ended without a response"),
            }
            .with_fuel(report.cost.fuel);
            completion.report(HttpReport { result: Err(fault.clone()), ..report });
            Err(fault)
        }
    }
}

/// Runs the guest to its end.
async fn run(
    mut call: OpenCall,
    request: http::Request<RequestBody>,
    scheme: Scheme,
    send: oneshot::Sender<HttpResult>,
) -> HttpReport {
    let bounds = call.bounds.clone();
    let end = bounds.run(call_guest(&mut call, request, scheme, send)).await;
    let CallReport { result, cost, log_bytes } = call.finish(end, |_, ()| Ok(()));
    HttpReport { result, cost, log_bytes }
}

/// Calls the handler in a new instance.
async fn call_guest(
    call: &mut OpenCall,
    request: http::Request<RequestBody>,
    scheme: Scheme,
    send: oneshot::Sender<HttpResult>,
) -> wasmtime::Result<()> {
    let prepared = call.prepared.clone();
    let Linked::Http(pre) = &prepared.linked else {
        let fault = Fault::new(Code::BadRequest, "the function is not an http function");
        return Err(FaultError::error(fault.hint("invoke it with POST /v1/functions/FUNCTION/invoke")));
    };
    let mut http = call.ready_store()?.data_mut().http();
    let request = http.new_incoming_request(scheme, request).map_err(|e| {
        FaultError::error(Fault::new(Code::BadRequest, format!("the request can't be passed to the function: {e:#}")))
    })?;
    let out = http.new_response_outparam(send)?;
    let proxy = pre.instantiate_async(call.store()).await?;
    call.instantiated();
    proxy.wasi_http_incoming_handler().call_handle(call.store(), request, out).await
}
