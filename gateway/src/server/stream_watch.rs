//! Responses as connections send them. They are counted while they last, and an HTTP/2 stream is reset if its peer
//! opens no window.
//!
//! On HTTP/1.1 a peer that does not read blocks its connection, which [`super::guarded_io`] detects. On HTTP/2 it can
//! block one stream and leave the connection idle or busy with others.

use super::{connections::InFlight, flushes::Flushes};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// The progress of the HTTP/2 stream that this task runs.
    static STREAM: Arc<Progress>;
}

/// Frames that were handed to the connection, shifted by one. The lowest bit is set until the last one is taken.
#[derive(Default)]
struct Progress(AtomicU64);

impl Progress {
    fn handed_over(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store((before | 1) + 2, Ordering::Relaxed);
    }

    /// Notes that the last frame was taken, since the connection requests more.
    fn taken(&self) {
        self.0.fetch_and(!1, Ordering::Relaxed);
    }
}

/// A response body that is being sent.
pub(super) struct SentBody {
    body: Body,
    progress: Option<Arc<Progress>>,
    flushes: Arc<Flushes>,
    /// [`Flushes::count`] when the head or the last frame was handed over.
    handed_at: u64,
    /// The error that ends the body, returned once the preceding data has been written.
    failure: Option<axum::Error>,
    _request: Option<InFlight>,
}

impl SentBody {
    /// Creates a body that counts as `request` until it has been sent or dropped.
    pub(super) fn new(body: Body, flushes: Arc<Flushes>, request: Option<InFlight>) -> Self {
        let (progress, handed_at) = (STREAM.try_with(Arc::clone).ok(), flushes.count());
        Self { body, progress, flushes, handed_at, failure: None, _request: request }
    }
}

impl http_body::Body for SentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(progress) = &self.progress {
            progress.taken();
        }
        if self.failure.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Err(failure)) => self.failure = Some(failure),
                frame => {
                    self.handed_at = self.flushes.count();
                    if let (Some(progress), Some(_)) = (&self.progress, &frame) {
                        progress.handed_over();
                    }
                    return Poll::Ready(frame);
                }
            }
        }
        // The connection drops unwritten data if a body fails.
        ready!(self.flushes.poll_after(self.handed_at, cx));
        Poll::Ready(self.failure.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the streams of HTTP/2 connections as tasks, each with a limit on the time that its peer may leave a frame
/// untaken.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    pub(super) tasks: TaskTracker,
    pub(super) stall: Duration,
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let progress = Arc::new(Progress::default());
        let stream = Box::pin(STREAM.scope(progress.clone(), stream));
        self.tasks.spawn(Watched { stream, progress, stall: self.stall, seen: 0, timer: None });
    }
}

/// A stream that is reset, by dropping it, if it stalls.
struct Watched<F> {
    stream: Pin<Box<F>>,
    progress: Arc<Progress>,
    stall: Duration,
    seen: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let progress = self.progress.0.load(Ordering::Relaxed);
        if progress & 1 == 0 {
            self.timer = None;
            return Poll::Pending;
        }
        if self.timer.is_none() || self.seen != progress {
            self.seen = progress;
            self.timer = Some(Box::pin(tokio::time::sleep(self.stall)));
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use hyper::rt::Executor as _;
    use std::future::{pending, poll_fn};
    use tokio::time::Instant;

    fn frames(n: usize) -> Body {
        let frames = (0..n).map(|_| Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")));
        Body::from_stream(futures::stream::iter(frames))
    }

    /// Runs `send` as a stream, and returns the time until the stream ended.
    async fn ended<F: Future<Output = ()> + Send + 'static>(send: impl FnOnce(SentBody) -> F) -> Duration {
        let executor = StreamExecutor { tasks: TaskTracker::new(), stall: Duration::from_secs(30) };
        let start = Instant::now();
        executor.execute(send(SentBody::new(frames(3), Arc::default(), None)));
        executor.tasks.close();
        executor.tasks.wait().await;
        start.elapsed()
    }

    async fn next(body: &mut SentBody) {
        // Created outside the stream's task here, unlike by a service.
        body.progress = STREAM.try_with(Arc::clone).ok();
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_peer_takes_nothing_is_reset() {
        let took = ended(|mut body| async move {
            next(&mut body).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            next(&mut body).await;
            pending::<()>().await;
        });
        assert_eq!(took.await.as_secs(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_source_is_not() {
        let took = ended(|mut body| async move {
            next(&mut body).await;
            body.body = Body::from_stream(futures::stream::once(async {
                tokio::time::sleep(Duration::from_secs(300)).await;
                Ok::<_, std::convert::Infallible>(Bytes::new())
            }));
            next(&mut body).await;
        });
        assert_eq!(took.await.as_secs(), 300);
    }
}
