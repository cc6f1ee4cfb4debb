//! The body of a request to an http function, limited to the function's `limits.body-bytes`.

use bytes::Bytes;
use fabric_types::{Code, Fault};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use wasmtime_wasi_http::Error as HttpError;

pub(super) type RequestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, HttpError>;

/// Limits a request's body to `max` bytes. A longer one fails while it is read.
///
/// # Errors
/// `too-large` if the body is known to be longer.
pub(super) fn limit<B>(request: http::Request<B>, max: u64) -> Result<http::Request<RequestBody>, Fault>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    if request.body().size_hint().lower() > max {
        return Err(Fault::new(Code::TooLarge, format!("the request's body is larger than {max} bytes")));
    }
    Ok(request.map(|body| {
        let inner = Box::pin(body.map_err(|e| HttpError::InternalError(Some(e.to_string()))));
        RequestBody::new(LimitedBody { inner, left: max })
    }))
}

/// A body that fails after a given number of bytes.
struct LimitedBody<B> {
    inner: Pin<Box<B>>,
    left: u64,
}

impl<B> http_body::Body for LimitedBody<B>
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
