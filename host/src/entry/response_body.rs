//! The body of an http function's response. It reads what the guest writes, and ends with the guest.

use crate::{entry::guest_task::GuestHandle, fault};
use bytes::Bytes;
use fabric_types::{Code, Fault};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::{Error as HttpError, p2::body::HyperOutgoingBody};

/// The body of a response.
pub struct ResponseBody {
    inner: HyperOutgoingBody,
    guest: Option<GuestHandle>,
    /// Bytes that the function may still send.
    left: u64,
    /// Bytes that the client still expects, if the response head determines their number.
    awaited: Option<u64>,
    ended: bool,
    /// The stream ended before the response was complete.
    cut_off: bool,
    /// Tasks of guests that run to completion after their clients have received everything.
    guest_tasks: TaskTracker,
}

/// Returns the number of body bytes that a client reads, or `None` if only the end of the stream determines it (RFC
/// 9112, section 6.3).
fn expected_bytes(method: &http::Method, response: &http::Response<HyperOutgoingBody>) -> Option<u64> {
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
    /// Creates the body of a response to a request with `method`, of at most `limit` bytes. `guest` is still running.
    pub(super) fn new(
        response: http::Response<HyperOutgoingBody>,
        method: &http::Method,
        limit: u64,
        guest: Option<GuestHandle>,
        guest_tasks: TaskTracker,
    ) -> http::Response<Self> {
        let awaited = expected_bytes(method, &response);
        let unread = awaited == Some(0);
        response.map(|inner| {
            let mut body = Self { inner, guest, left: limit, awaited, ended: false, cut_off: false, guest_tasks };
            if unread {
                // A body that must not be sent is not left to the connection, which would send it on HTTP/2.
                body.discard();
            }
            body
        })
    }

    /// Takes the body and leaves an empty one.
    fn take(&mut self) -> Self {
        Self {
            inner: std::mem::replace(&mut self.inner, nothing()),
            guest: self.guest.take(),
            left: self.left,
            awaited: None,
            ended: std::mem::replace(&mut self.ended, true),
            cut_off: self.cut_off,
            guest_tasks: self.guest_tasks.clone(),
        }
    }

    /// Lets the guest run to completion without a reader.
    fn discard(&mut self) {
        let mut rest = self.take();
        // Without a runtime the process is shutting down, which ends the guest.
        if rest.guest.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.guest_tasks.spawn(async move { while let Some(Ok(_)) = rest.frame().await {} });
        }
    }
}

fn nothing() -> HyperOutgoingBody {
    HyperOutgoingBody::new(http_body_util::Empty::new().map_err(|never| match never {}))
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.awaited == Some(0) && self.guest.is_some() {
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
                            if let Some(guest) = this.guest.take() {
                                guest.terminate(fault.clone());
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
                        let fault = match this.guest.take() {
                            None => broken,
                            Some(mut guest) => match guest.outcome.try_recv() {
                                Ok(fault) => fault.unwrap_or(broken),
                                Err(_) => {
                                    guest.terminate(broken.clone());
                                    broken
                                }
                            },
                        };
                        return Poll::Ready(Some(Err(fault)));
                    }
                    Poll::Ready(None) => {
                        this.ended = true;
                        let failed = this.guest.as_ref().is_some_and(GuestHandle::has_failed);
                        this.cut_off = failed || this.awaited.is_some_and(|awaited| awaited > 0);
                    }
                    Poll::Pending => {}
                }
            }
            let Some(guest) = this.guest.as_mut() else {
                return if this.ended { Poll::Ready(None) } else { Poll::Pending };
            };
            // The task always sends its outcome, unless the runtime shuts down.
            let fault = ready!(Pin::new(&mut guest.outcome).poll(cx)).unwrap_or_else(|_| Some(fault::cancelled()));
            this.guest = None;
            if let Some(fault) = fault
                && (!this.ended || this.cut_off)
            {
                this.ended = true;
                return Poll::Ready(Some(Err(fault)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.guest.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn broken(error: &HttpError) -> Fault {
    Fault::new(Code::FunctionFailed, format!("the function aborted its response: {error:?}"))
}
