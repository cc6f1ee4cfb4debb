//! Runs one request to a `wasi:http/proxy` component in a new instance. The guest runs inside the connection's own task
//! until its response begins. Most guests have finished by then.
//!
//! A guest that is still running moves to its own task, so that it makes progress and its deadline applies even if
//! nobody reads the body: a client that does not read must not hold a slot. Dropping the [`ResponseBody`] terminates
//! the guest, unless the client has everything that it will read. In that case the guest runs to completion, and its
//! remaining output is discarded.

use crate::{
    entry::task::SlotWait,
    fault::{self, Unit},
    host::{Inner, Slot},
    load::{Linked, Loaded},
    logs::LogSink,
    output::Output,
    scope::{Ended, Scope},
    state::{Setup, Shared, State},
};
use bytes::Bytes;
use fabric_types::{Code, Fault, function::EntryKind, limits::Limits};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmtime::Store;
use wasmtime_wasi_http::{
    Error as HttpError, WasiHttpView as _,
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
    pub done: Option<Box<dyn FnOnce(HttpReport) + Send>>,
}

impl HttpCall {
    /// Creates a call within `limits`, without TLS, logs or a report.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, logs: None, cancel: CancellationToken::new(), https: false, done: None }
    }
}

/// The outcome of an http call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReport {
    /// The fault if the call failed.
    pub result: Result<(), Fault>,
    /// Fuel spent.
    pub fuel: u64,
    /// Wall-clock time since the start of the instance, in microseconds.
    pub wall_us: u64,
    /// Bytes logged.
    pub log_bytes: u64,
    /// GPU device time, in microseconds.
    pub gpu_us: u64,
}

type Guest = Pin<Box<dyn Future<Output = HttpReport> + Send>>;
type Answer = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Reports the outcome of a call exactly once, on drop at the latest.
struct Done {
    hook: Option<Box<dyn FnOnce(HttpReport) + Send>>,
    start: std::time::Instant,
    shared: Arc<Shared>,
    /// Fault that ended the call from outside. `None` means that the caller disconnected.
    reason: Option<Fault>,
}

impl Done {
    fn report(&mut self, report: HttpReport) {
        if let Some(hook) = self.hook.take() {
            hook(report);
        }
    }

    /// Reports a call that ended from outside. The guest is dropped before, since its drop records the resources spent
    /// in `shared`.
    fn ended(&mut self) {
        if self.hook.is_some() {
            let fault = self.reason.take().unwrap_or_else(caller_left);
            let wall_us = crate::entry::task::micros(self.start);
            let (fuel, gpu_us) = self.shared.spent();
            let log_bytes = {
                let mut logs = self.shared.logs.lock();
                logs.flush();
                logs.used()
            };
            self.report(HttpReport { result: Err(fault.with_fuel(fuel)), fuel, wall_us, log_bytes, gpu_us });
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.ended();
    }
}

fn caller_left() -> Fault {
    Fault::new(Code::Cancelled, "the caller left before the end of the response")
}

/// A guest whose response has begun, shared by its task and the response body.
struct Driven {
    guest: Mutex<Option<Guest>>,
    done: Mutex<Done>,
    shared: Arc<Shared>,
}

/// Polls the guest to completion and sends its fault, if any, to the body.
async fn drive(driven: Arc<Driven>, over: oneshot::Sender<Option<Fault>>) {
    let report = std::future::poll_fn(|cx| {
        let mut guest = driven.guest.lock();
        let Some(running) = guest.as_mut() else { return Poll::Ready(None) };
        let report = ready!(running.as_mut().poll(cx));
        *guest = None;
        Poll::Ready(Some(report))
    });
    let Some(report) = report.await else { return };
    let fault = report.result.clone().err();
    driven.done.lock().report(report);
    let _ = over.send(fault);
}

/// The body's handle to a guest that is still running. Dropping it terminates the guest.
struct Driver {
    driven: Arc<Driven>,
    task: AbortHandle,
    over: oneshot::Receiver<Option<Fault>>,
}

impl Driver {
    fn start(drivers: &TaskTracker, guest: Guest, done: Done, shared: Arc<Shared>) -> Self {
        let driven = Arc::new(Driven { guest: Mutex::new(Some(guest)), done: Mutex::new(done), shared });
        let (send, over) = oneshot::channel();
        let task = drivers.spawn(drive(driven.clone(), send)).abort_handle();
        Self { driven, task, over }
    }

    /// Terminates the guest because of a fault in its response body.
    fn give_up(self, fault: Fault) {
        self.driven.done.lock().reason = Some(fault);
    }

    /// Reports whether the guest has failed, in which case the end of its stream is not the end of its response.
    fn has_failed(&self) -> bool {
        self.driven.shared.failed.load(Ordering::Acquire)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Terminate the guest now. If another thread is polling it, its task ends at the next yield instead.
        if let Some(mut guest) = self.driven.guest.try_lock()
            && guest.take().is_some()
        {
            self.driven.done.lock().ended();
        }
        self.task.abort();
    }
}

/// The body of a response.
pub struct ResponseBody {
    inner: HyperOutgoingBody,
    driver: Option<Driver>,
    /// Bytes that the function may still send.
    left: u64,
    /// Bytes that the client still expects, if the response head determines their number.
    awaited: Option<u64>,
    ended: bool,
    /// The stream ended before the response was complete.
    cut_off: bool,
    /// Tasks of guests that run to completion after their clients have received everything.
    drivers: TaskTracker,
}

/// Returns the number of body bytes that a client reads, or `None` if only the end of the stream determines it (RFC
/// 9112, section 6.3).
fn expected(method: &http::Method, response: &http::Response<HyperOutgoingBody>) -> Option<u64> {
    let status = response.status();
    if *method == http::Method::HEAD
        || matches!(status, http::StatusCode::NO_CONTENT | http::StatusCode::NOT_MODIFIED)
        || (*method == http::Method::CONNECT && status.is_success())
    {
        return Some(0);
    }
    response.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl ResponseBody {
    /// Takes the body and leaves an empty one.
    fn take(&mut self) -> Self {
        Self {
            inner: std::mem::replace(&mut self.inner, nothing()),
            driver: self.driver.take(),
            left: self.left,
            awaited: None,
            ended: std::mem::replace(&mut self.ended, true),
            cut_off: self.cut_off,
            drivers: self.drivers.clone(),
        }
    }

    /// Lets the guest run to completion without a reader.
    fn discard(&mut self) {
        use http_body_util::BodyExt as _;
        let mut rest = self.take();
        // Without a runtime the process is shutting down, which ends the guest.
        if rest.driver.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.drivers.spawn(async move { while let Some(Ok(_)) = rest.frame().await {} });
        }
    }
}

fn nothing() -> HyperOutgoingBody {
    use http_body_util::BodyExt as _;
    HyperOutgoingBody::new(http_body_util::Empty::new().map_err(|never| match never {}))
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.awaited == Some(0) && self.driver.is_some() {
            self.discard();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        loop {
            if !this.ended {
                match Pin::new(&mut this.inner).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                        let Some(left) = this.left.checked_sub(bytes) else {
                            this.ended = true;
                            let fault =
                                Fault::new(Code::OutputLimit, "the response is larger than the function's limit");
                            if let Some(driver) = this.driver.take() {
                                driver.give_up(fault.clone());
                            }
                            return Poll::Ready(Some(Err(fault)));
                        };
                        this.left = left;
                        // Nothing follows trailers.
                        this.awaited = if frame.is_trailers() {
                            Some(0)
                        } else {
                            this.awaited.map(|awaited| awaited.saturating_sub(bytes))
                        };
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        this.ended = true;
                        let broken = broken(&error);
                        // The guest's own fault is more specific than the broken stream.
                        let fault = match this.driver.take() {
                            None => broken,
                            Some(mut driver) => match driver.over.try_recv() {
                                Ok(fault) => fault.unwrap_or(broken),
                                Err(_) => {
                                    driver.give_up(broken.clone());
                                    broken
                                }
                            },
                        };
                        return Poll::Ready(Some(Err(fault)));
                    }
                    Poll::Ready(None) => {
                        this.ended = true;
                        let failed = this.driver.as_ref().is_some_and(Driver::has_failed);
                        this.cut_off = failed || this.awaited.is_some_and(|awaited| awaited > 0);
                    }
                    Poll::Pending => {}
                }
            }
            let Some(driver) = this.driver.as_mut() else {
                return if this.ended { Poll::Ready(None) } else { Poll::Pending };
            };
            // The task always sends its outcome, unless the runtime shuts down.
            let fault = ready!(Pin::new(&mut driver.over).poll(cx)).unwrap_or_else(|_| Some(fault::cancelled()));
            this.driver = None;
            if let Some(fault) = fault
                && (!this.ended || this.cut_off)
            {
                this.ended = true;
                return Poll::Ready(Some(Err(fault)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.driver.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn broken(error: &HttpError) -> Fault {
    Fault::new(Code::FunctionFailed, format!("the function aborted its response: {error:?}"))
}

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
    let HttpCall { limits, logs, cancel, https, done } = call;
    let shared = inner.shared(Output::new(0, 0, 0, false), logs, &limits, &loaded.deployment.tenant);
    let mut done = Done { hook: done, start: std::time::Instant::now(), shared: shared.clone(), reason: None };
    let gpu = inner.gpu.access(&loaded.deployment).await?;
    let slot = inner.slot(&loaded.deployment, SlotWait::Bounded, &cancel).await?;
    let scope = Scope::new(&limits, Unit::Request, None, cancel);
    let setup =
        Setup { deployment: loaded.deployment.clone(), volumes: inner.volumes.clone(), seed: [0; 32], stage: "http" };
    let state = inner.state(setup, &limits, scope, shared.clone(), None, "{}".into(), None, loaded, gpu);
    let left = limits.output_bytes.0;
    let (send, mut receive) = oneshot::channel();
    let method = request.method().clone();
    let request = bounded(request, limits.body_bytes.0)?;
    let drivers = inner.drivers.clone();
    let run = Run { inner, loaded: loaded.clone(), shared: shared.clone(), limits, https, slot };
    let mut guest: Guest = Box::pin(run.run(state, request, send));
    let mut finished = None;
    let answer: Option<Answer> = tokio::select! {
        // The guest first: most guests finish at the first poll, and their body is available together with the head.
        biased;
        report = &mut guest => {
            finished = Some(report);
            receive.try_recv().ok()
        }
        answer = &mut receive => answer.ok(),
    };
    match (answer, finished) {
        (Some(Ok(response)), finished) => {
            let driver = match finished {
                Some(report) => {
                    if let Err(fault) = &report.result {
                        let fault = fault.clone();
                        done.report(report);
                        return Err(fault);
                    }
                    done.report(report);
                    None
                }
                None => Some(Driver::start(&drivers, guest, done, shared)),
            };
            let awaited = expected(&method, &response);
            let unread = awaited == Some(0);
            let response = response.map(|inner| ResponseBody {
                inner,
                driver,
                left,
                awaited,
                ended: false,
                cut_off: false,
                drivers,
            });
            // A body that must not be sent is not left to the connection, which would send it on HTTP/2.
            Ok(if unread {
                response.map(|mut body| {
                    body.discard();
                    body
                })
            } else {
                response
            })
        }
        (answer, finished) => {
            let report = match finished {
                Some(report) => report,
                None => guest.await,
            };
            let fault = match (&report.result, answer) {
                (Err(fault), _) => fault.clone(),
                (Ok(()), Some(Err(code))) => {
                    Fault::new(Code::FunctionFailed, format!("the function answered with an error: {code}"))
                }
                _ => Fault::new(Code::GuestContract, "the function ended without a response"),
            }
            .with_fuel(report.fuel);
            done.report(HttpReport { result: Err(fault.clone()), ..report });
            Err(fault)
        }
    }
}

type RequestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, HttpError>;

/// Rejects a body that is known to exceed `max` bytes, and fails one that exceeds it while it is read.
fn bounded<B>(request: http::Request<B>, max: u64) -> Result<http::Request<RequestBody>, Fault>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    use http_body_util::BodyExt as _;
    if request.body().size_hint().lower() > max {
        return Err(Fault::new(Code::TooLarge, format!("the request's body is larger than {max} bytes")));
    }
    Ok(request.map(|body| {
        let inner = Box::pin(body.map_err(|e| HttpError::InternalError(Some(e.to_string()))));
        RequestBody::new(Counted { inner, left: max })
    }))
}

/// A body that fails after a given number of bytes.
struct Counted<B> {
    inner: Pin<Box<B>>,
    left: u64,
}

impl<B> http_body::Body for Counted<B>
where
    B: http_body::Body<Data = Bytes, Error = HttpError>,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(self.inner.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(HttpError::HttpRequestBodySize(None)))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The resources of a request's guest, held until it ends.
struct Run {
    inner: Arc<Inner>,
    loaded: Loaded,
    shared: Arc<Shared>,
    limits: Limits,
    https: bool,
    slot: Slot,
}

impl Run {
    async fn run(self, state: State, request: http::Request<RequestBody>, send: oneshot::Sender<Answer>) -> HttpReport {
        let start = std::time::Instant::now();
        let (ended, fuel, gpu_us) = self.call(state, request, send, start).await;
        let log_bytes = {
            let mut logs = self.shared.logs.lock();
            logs.flush();
            logs.used()
        };
        let result = match ended {
            Ended::Returned(Ok(())) => Ok(()),
            Ended::Returned(Err(error)) => {
                let words = self.shared.logs.lock().last_words();
                Err(fault::classify(&error, Unit::Request, words, &self.loaded.prepared.symbols))
            }
            Ended::GivenUp(fault) => Err(fault),
        };
        let wall_us = crate::entry::task::micros(start);
        if let Some(observer) = &self.inner.observer {
            observer.called(EntryKind::Http, wall_us, fuel, result.is_ok());
            observer.used_gpu(gpu_us);
        }
        drop(self.slot);
        HttpReport { result: result.map_err(|f| f.with_fuel(fuel)), fuel, wall_us, log_bytes, gpu_us }
    }

    async fn call(
        &self,
        state: State,
        request: http::Request<RequestBody>,
        send: oneshot::Sender<Answer>,
        start: std::time::Instant,
    ) -> (Ended<wasmtime::Result<()>>, u64, u64) {
        let Linked::Http(pre) = &self.loaded.prepared.linked else {
            let fault = Fault::new(Code::BadRequest, "the function is not an http function");
            return (Ended::GivenUp(fault.hint("invoke it with POST /v1/functions/FUNCTION/invoke")), 0, 0);
        };
        let scope = state.scope.clone();
        let mut store = match self.inner.store(&self.loaded.prepared.engine, state, self.limits.fuel) {
            Ok(store) => Metered { store, limit: self.limits.fuel, shared: self.shared.clone() },
            Err(fault) => return (Ended::GivenUp(fault), 0, 0),
        };
        let guest_store = &mut store.store;
        if let Err(fault) = guest_store.data_mut().prepare(false) {
            return (Ended::GivenUp(fault), 0, 0);
        }
        let guest = async {
            let scheme = if self.https { Scheme::Https } else { Scheme::Http };
            let mut http = guest_store.data_mut().http();
            let request = http.new_incoming_request(scheme, request).map_err(|e| {
                fault::Stop::error(Fault::new(
                    Code::BadRequest,
                    format!("the request can't be passed to the function: {e:#}"),
                ))
            })?;
            let out = http.new_response_outparam(send)?;
            let proxy = pre.instantiate_async(&mut *guest_store).await?;
            self.inner.instantiated(EntryKind::Http, start);
            proxy.wasi_http_incoming_handler().call_handle(&mut *guest_store, request, out).await
        };
        let ended = scope.bound(guest).await;
        if !matches!(ended, Ended::Returned(Ok(()))) {
            // Set before the store is dropped, since that closes the other end of the body's stream.
            self.shared.failed.store(true, Ordering::Release);
        }
        drop(store);
        let (fuel, gpu_us) = self.shared.spent();
        (ended, fuel, gpu_us)
    }
}

/// A store that records its guest's fuel on drop, including when the caller disconnects.
struct Metered {
    store: Store<State>,
    limit: u64,
    shared: Arc<Shared>,
}

impl Drop for Metered {
    fn drop(&mut self) {
        let spent = self.limit.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.shared.fuel.store(spent, Ordering::Release);
    }
}

impl Scope {
    /// Returns the bounds of a call that starts now.
    pub(crate) fn new(limits: &Limits, unit: Unit, deadline: Option<Instant>, cancel: CancellationToken) -> Self {
        let now = Instant::now();
        let own = now
            .checked_add(std::time::Duration::from_millis(limits.deadline_ms))
            .unwrap_or_else(|| now + std::time::Duration::from_secs(86_400 * 365));
        let deadline = deadline.map_or(own, |d| d.min(own));
        Self { deadline, deadline_ms: limits.deadline_ms, cancel, unit }
    }
}
