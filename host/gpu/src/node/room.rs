//! Reservations of sessions: their number and their memory. A session reserves its memory when it opens, so that other
//! sessions cannot allocate it.

use crate::Error;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Queue, Notify};

/// The unreserved capacity of a device.
pub(super) struct Room {
    left: Mutex<Left>,
    freed: Notify,
    /// Held by the first waiter. Waiters are served in order, so that small sessions do not starve a large one.
    queue: Queue<()>,
}

struct Left {
    sessions: usize,
    bytes: u64,
}

impl Room {
    pub(super) fn new(sessions: usize, bytes: u64) -> Self {
        Self { left: Mutex::new(Left { sessions, bytes }), freed: Notify::new(), queue: Queue::new(()) }
    }

    /// Reserves a session's memory.
    ///
    /// # Errors
    /// [`Error::Busy`] if the reservation does not fit at the moment.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Error> {
        let mut left = self.left.lock();
        if left.sessions == 0 {
            return Err(Error::Busy("the maximum number of sessions is open".into()));
        }
        if bytes > left.bytes {
            let free = left.bytes;
            return Err(Error::Busy(format!("{bytes} bytes were requested, {free} are free")));
        }
        left.sessions -= 1;
        left.bytes -= bytes;
        Ok(())
    }

    /// Reserves a session's memory as soon as it fits.
    pub(super) async fn wait(&self, bytes: u64) {
        let _turn = self.queue.lock().await;
        loop {
            // Created before the check, so that a release after the check is not missed.
            let freed = self.freed.notified();
            if self.take(bytes).is_ok() {
                return;
            }
            freed.await;
        }
    }

    /// Releases a session's reservation. Called after the device has freed the memory.
    pub(super) fn give_back(&self, bytes: u64) {
        {
            let mut left = self.left.lock();
            left.sessions += 1;
            left.bytes += bytes;
        }
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_once_and_given_back() {
        let room = Room::new(2, 100);
        assert!(matches!(room.take(101), Err(Error::Busy(_))));
        room.take(60).unwrap();
        assert!(room.take(60).unwrap_err().to_string().contains("40 are free"));
        room.take(40).unwrap();
        assert!(room.take(0).unwrap_err().to_string().contains("maximum number of sessions"));
        room.give_back(60);
        room.take(60).unwrap();
    }

    #[tokio::test]
    async fn who_waits_has_room_in_the_order_of_coming() {
        let room = Room::new(2, 100);
        room.take(60).unwrap();
        let (mut large, mut small) = (Box::pin(room.wait(90)), Box::pin(room.wait(10)));
        assert!(now(&mut large).is_none() && now(&mut small).is_none());
        room.give_back(60);
        // The small reservation fits, but it is second in the queue.
        assert!(now(&mut small).is_none());
        large.await;
        small.await;
    }

    /// Polls a future once.
    fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
