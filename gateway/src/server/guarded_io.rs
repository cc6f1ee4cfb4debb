//! A connection's stream, with a limit on the time that the peer may not read, and an end that lets the peer read the
//! answer.

use super::{
    connections::Activity,
    drain::{DRAIN_TIMEOUT, MAX_DRAIN_BYTES},
};
use bytes::{Buf as _, Bytes};
use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Bytes that a peer has to read within the limit to restart it. Fewer do not count as progress.
const PROGRESS: usize = 4 << 10;

/// The drain after the last answer of an HTTP/1.1 connection, see [`super::drain`].
struct Linger {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Linger {
    /// Reads and discards until the peer closes its side or a limit is reached.
    fn poll<S: AsyncRead + Unpin>(&mut self, from: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); 8 << 10];
        while self.bytes > 0 && self.timer.as_mut().poll(cx).is_pending() {
            let mut into = ReadBuf::uninit(&mut room);
            let read = ready!(Pin::new(&mut *from).poll_read(cx, &mut into));
            if read.is_err() || into.filled().is_empty() {
                break;
            }
            self.bytes = self.bytes.saturating_sub(into.filled().len());
        }
        Poll::Ready(())
    }
}

/// The stream of a connection. `first` has the bytes that were read from it to detect the protocol.
pub(super) struct GuardedIo<S> {
    inner: S,
    first: Bytes,
    activity: Arc<Activity>,
    /// `true` if bytes between requests belong to the head of the next one.
    one_at_a_time: bool,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    taken: usize,
    lingering: Option<Linger>,
}

impl<S> GuardedIo<S> {
    pub(super) fn new(inner: S, first: Bytes, activity: Arc<Activity>, one_at_a_time: bool, stall: Duration) -> Self {
        Self { inner, first, activity, one_at_a_time, stall, timer: None, taken: 0, lingering: None }
    }

    /// Ends the wait for the peer once it has read enough.
    fn took(&mut self, bytes: usize) {
        if self.timer.is_some() {
            self.taken += bytes;
            if self.taken >= PROGRESS {
                self.flowing();
            }
        }
    }

    fn flowing(&mut self) {
        if self.timer.take().is_some() {
            self.taken = 0;
            self.activity.set_blocked(false);
        }
    }

    /// Continues to wait, within the limit.
    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.timer.is_none() {
            self.activity.set_blocked(true);
        }
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        timer.as_mut().poll(cx).map(|()| Error::new(ErrorKind::TimedOut, "the peer does not read what it asked for"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if !self.first.is_empty() {
            let n = self.first.len().min(into.remaining());
            into.put_slice(self.first.get(..n).unwrap_or_default());
            self.first.advance(n);
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        if self.one_at_a_time && into.filled().len() > before {
            self.activity.read_some();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Ready(done) => {
                self.took(*done.as_ref().unwrap_or(&0));
                Poll::Ready(done)
            }
            Poll::Pending => self.stalled(cx).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(cx, bytes) {
            Poll::Ready(done) => {
                self.took(*done.as_ref().unwrap_or(&0));
                Poll::Ready(done)
            }
            Poll::Pending => self.stalled(cx).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(done) => {
                // Everything was written.
                self.flowing();
                Poll::Ready(done)
            }
            Poll::Pending => self.stalled(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            match Pin::new(&mut this.inner).poll_shutdown(cx) {
                Poll::Ready(Ok(())) if this.one_at_a_time && !this.activity.is_stopping() => {}
                Poll::Ready(done) => return Poll::Ready(done),
                Poll::Pending => return this.stalled(cx).map(Err),
            }
        }
        let begin = || Linger { timer: Box::pin(tokio::time::sleep(DRAIN_TIMEOUT)), bytes: MAX_DRAIN_BYTES };
        this.lingering.get_or_insert_with(begin).poll(&mut this.inner, cx).map(Ok)
    }
}
