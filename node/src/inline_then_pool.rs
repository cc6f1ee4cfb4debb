//! Runs short guests on the caller's thread, and moves longer ones to the guest threads.
//!
//! Most calls end within a few hundred microseconds, less than the cost of spawning them. A long guest on a connection
//! thread would delay every other connection on it.

use std::{
    future::Future,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Maximum time of a guest on the caller's thread: two of its time slices.
const STAY: Duration = Duration::from_millis(2);

/// A guest and its caller's interest in it. Dropping this value cancels the guest, which then ends on the guest
/// threads.
struct Watched<F: Future + Send + 'static>
where
    F::Output: Send + 'static,
{
    guest: Option<Pin<Box<F>>>,
    threads: Handle,
    _cancel: DropGuard,
}

impl<F: Future + Send + 'static> Drop for Watched<F>
where
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take() {
            // The guest is spawned first; the guard then cancels its token.
            self.threads.spawn(guest);
        }
    }
}

/// Runs `guest` on the caller's thread at first, and on `threads` if it takes longer. Dropping the future cancels
/// `cancel`, on which `guest` must end; it still runs to that end. Returns `None` if it panicked on the guest threads
/// or these are shutting down.
pub async fn run<F>(threads: Handle, cancel: CancellationToken, guest: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut watched = Watched { guest: Some(Box::pin(guest)), threads, _cancel: cancel.drop_guard() };
    let began = Instant::now();
    let here = std::future::poll_fn(|cx| {
        let Some(guest) = watched.guest.as_mut() else { return Poll::Ready(None) };
        match guest.as_mut().poll(cx) {
            Poll::Ready(done) => {
                watched.guest = None;
                Poll::Ready(Some(done))
            }
            Poll::Pending if began.elapsed() >= STAY => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match (here, watched.guest.take()) {
        (None, Some(guest)) => watched.threads.spawn(guest).await.ok(),
        (here, _) => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_work_stays_and_long_work_moves() {
        let threads = crate::guest_threads::GuestThreads::start(1).unwrap();
        let handle = || threads.handle().unwrap().clone();
        let name = || std::thread::current().name().map(str::to_owned);
        let here = name();
        assert_eq!(run(handle(), CancellationToken::new(), async move { name() }).await.unwrap(), here);
        let long = async move {
            let began = Instant::now();
            while began.elapsed() < 3 * STAY {
                tokio::task::yield_now().await;
            }
            name()
        };
        assert_eq!(run(handle(), CancellationToken::new(), long).await.unwrap().as_deref(), Some("fabric-guest"));
    }
    #[tokio::test]
    async fn a_guest_whose_caller_leaves_is_cancelled_and_still_runs_to_its_end() {
        let threads = crate::guest_threads::GuestThreads::start(1).unwrap();
        for moved in [false, true] {
            let cancel = CancellationToken::new();
            let (send, receive) = tokio::sync::oneshot::channel();
            let (began, begun) = tokio::sync::oneshot::channel();
            let guest = {
                let cancel = cancel.clone();
                async move {
                    let start = Instant::now();
                    while moved && start.elapsed() < 3 * STAY {
                        tokio::task::yield_now().await;
                    }
                    let _ = began.send(());
                    cancel.cancelled().await;
                    let _ = send.send(());
                }
            };
            let caller = tokio::spawn(run(threads.handle().unwrap().clone(), cancel, guest));
            begun.await.unwrap();
            caller.abort();
            receive.await.unwrap();
        }
    }
}
