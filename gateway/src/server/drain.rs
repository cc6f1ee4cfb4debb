//! Draining of a request body after an early response, sent before the body had arrived.
//!
//! A client that is still sending reads an answer only after its last byte, or takes a reset for the end of everything:
//! curl and Node's HTTP/2 client lose an early answer. So the rest of the body is read for a limited time and
//! discarded, by [`super::guarded_io`] on HTTP/1.1, as the connection ends, and by [`DrainOnDrop`] on HTTP/2, as the stream
//! ends.

use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Maximum duration of a drain.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes of a drain.
pub(super) const MAX_DRAIN_BYTES: usize = 64 << 20;

/// The handling of the unread rest of a body on drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDrop {
    /// Read and discard it.
    Drain,
    /// Leave it to the connection.
    Leave,
}

/// A body that may drain its unread rest when its reader drops it.
pub(super) struct DrainOnDrop<B: Body + Unpin + Send + 'static> {
    body: Option<B>,
    rest: OnDrop,
}

impl<B: Body + Unpin + Send + 'static> DrainOnDrop<B> {
    pub(super) fn new(body: B, rest: OnDrop) -> Self {
        Self { body: Some(body), rest }
    }
}

async fn forget_rest<B: Body + Unpin>(mut body: B) {
    let mut left = MAX_DRAIN_BYTES;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Buf::remaining));
    }
}

impl<B> Body for DrainOnDrop<B>
where
    B: Body + Unpin + Send + 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body + Unpin + Send + 'static> Drop for DrainOnDrop<B> {
    fn drop(&mut self) {
        if self.rest == OnDrop::Drain
            && let Some(body) = self.body.take().filter(|body| !body.is_end_stream())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // Ends with its connection, and after the timeout.
            runtime.spawn(tokio::time::timeout(DRAIN_TIMEOUT, forget_rest(body)));
        }
    }
}
