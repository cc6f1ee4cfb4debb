//! A request body that ends with an error if the client stops sending, or sends too slowly.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Limits on the pace of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// Maximum time between two pieces.
    pub(super) idle: Duration,
    /// Minimum bytes per second, on average over the time that the reader has waited, once that is longer than `idle`.
    pub(super) min_rate: u64,
}

/// A body within [`BodyLimits`]. Time counts only while the body makes its reader wait, so that a client is not blamed
/// for a slow reader.
pub(super) struct IdleBody<B = Incoming> {
    body: B,
    limits: BodyLimits,
    timer: Option<Pin<Box<Sleep>>>,
    waited: Duration,
    received: u64,
}

impl<B> IdleBody<B> {
    pub(super) fn new(body: B, limits: BodyLimits) -> Self {
        Self { body, limits, timer: None, waited: Duration::ZERO, received: 0 }
    }

    /// Counts a piece and the wait for it. Returns `true` if the body is too slow.
    fn is_too_slow(&mut self, bytes: usize) -> bool {
        self.received = self.received.saturating_add(bytes as u64);
        let Some(timer) = self.timer.take() else { return false };
        let left = timer.deadline().saturating_duration_since(Instant::now());
        self.waited += self.limits.idle.saturating_sub(left);
        self.waited > self.limits.idle && self.received < self.limits.min_rate.saturating_mul(self.waited.as_secs())
    }
}

impl<B> Body for IdleBody<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame
                && self.is_too_slow(frame.data_ref().map_or(0, Bytes::len))
            {
                return Poll::Ready(Some(Err("the client sends the body too slowly".into())));
            }
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        let idle = self.limits.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the client stopped sending the body".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};

    const LIMITS: BodyLimits = BodyLimits { idle: Duration::from_secs(30), min_rate: 100 };

    /// Reads a body of pieces of `bytes`, one each `every` seconds.
    async fn read(pieces: usize, bytes: usize, every: u64) -> Result<usize, String> {
        let pieces = futures::stream::unfold(0, move |n| async move {
            tokio::time::sleep(Duration::from_secs(every)).await;
            (n < pieces).then(|| (Ok::<_, axum::BoxError>(Frame::data(Bytes::from(vec![0; bytes]))), n + 1))
        });
        let body = IdleBody::new(Box::pin(StreamBody::new(pieces)), LIMITS);
        body.collect().await.map(|b| b.to_bytes().len()).map_err(|e| e.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_not_endless() {
        assert_eq!(read(10, 2_000, 20).await, Ok(20_000));
        assert_eq!(read(2, 1, 12).await, Ok(2), "short bodies may be slower");
        assert_eq!(read(1000, 100, 10).await, Err("the client sends the body too slowly".to_owned()));
        assert_eq!(read(2, 10_000, 31).await, Err("the client stopped sending the body".to_owned()));
    }
}
