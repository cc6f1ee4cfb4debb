//! Short guests run where their connection lives; one that takes longer moves to the guest threads.
//!
//! Most calls end within a few hundred microseconds: spawning them would cost more than running them. A long one that
//! stayed on a connection thread would delay every other connection on it.

use std::{
    future::Future,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::JoinHandle};

/// How long a guest may stay on the caller's thread: two of its time slices.
const STAY: Duration = Duration::from_millis(2);

/// A spawned guest that ends with its caller.
struct Moved<T>(JoinHandle<T>);

impl<T> Drop for Moved<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `guest` here at first, and on `threads` if it takes longer. `None` when it was aborted or panicked there.
pub async fn run<F>(threads: &Handle, guest: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut guest: Pin<Box<F>> = Box::pin(guest);
    let began = Instant::now();
    let here = std::future::poll_fn(|cx| match guest.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if began.elapsed() >= STAY => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    match here {
        Some(done) => Some(done),
        None => (&mut Moved(threads.spawn(guest)).0).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn short_work_stays_and_long_work_moves() {
        let threads = crate::guest_threads::GuestThreads::start(1).unwrap();
        let handle = threads.handle().unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        let here = name();
        assert_eq!(run(handle, async move { name() }).await.unwrap(), here);
        let long = async move {
            let began = Instant::now();
            while began.elapsed() < 3 * STAY {
                tokio::task::yield_now().await;
            }
            name()
        };
        assert_eq!(run(handle, long).await.unwrap().as_deref(), Some("fabric-guest"));
    }
}
