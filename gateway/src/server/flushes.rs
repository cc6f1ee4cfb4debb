//! Detection of the moments at which a connection has written everything. An aborted response waits for one, so that
//! its client receives the head and the preceding data before the connection ends. On HTTP/2 the reset of a stream
//! still drops data that its windows had no room for.

use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A counter of the moments at which nothing was left to write.
#[derive(Default)]
pub(super) struct Flushes {
    count: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl Flushes {
    /// Returns the number of times that everything had been written.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until everything has been written after `seen`, an earlier [`Self::count`].
    pub(super) fn poll_after(&self, seen: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.lock();
        if self.count() > seen {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn note(&self) {
        let mut waiting = self.waiting.lock();
        self.count.fetch_add(1, Ordering::Release);
        waiting.drain(..).for_each(Waker::wake);
    }
}

/// A connection with counted flushes. hyper flushes it after it has handed over all its bytes.
pub(super) struct FlushCountingIo<S> {
    io: S,
    flushes: Arc<Flushes>,
}

impl<S> FlushCountingIo<S> {
    pub(super) fn new(io: S, flushes: Arc<Flushes>) -> Self {
        Self { io, flushes }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FlushCountingIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FlushCountingIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.flushes.note();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
