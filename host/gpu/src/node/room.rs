//! Room for sessions: their number and their memory, set aside when they open, so that no session can take what another
//! was promised.

use crate::Error;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Queue, Notify};

/// What is left of a device.
pub(super) struct Room {
    left: Mutex<Left>,
    freed: Notify,
    /// Whose turn it is to wait for what is freed: in the order of their coming, so that small sessions do not keep a
    /// large one out for ever.
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

    /// Sets a session's memory aside.
    ///
    /// # Errors
    /// [`Error::Busy`] when there is no room now.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Error> {
        let mut left = self.left.lock();
        if left.sessions == 0 {
            return Err(Error::Busy("as many sessions are open as are allowed".into()));
        }
        if bytes > left.bytes {
            let free = left.bytes;
            return Err(Error::Busy(format!("{bytes} bytes were asked for, {free} are free")));
        }
        left.sessions -= 1;
        left.bytes -= bytes;
        Ok(())
    }

    /// Sets a session's memory aside, as soon as there is room.
    pub(super) async fn wait(&self, bytes: u64) {
        let _turn = self.queue.lock().await;
        loop {
            // Before the look: what is freed after it is heard of.
            let freed = self.freed.notified();
            if self.take(bytes).is_ok() {
                return;
            }
            freed.await;
        }
    }

    /// Gives a session's memory back, once the device has freed it.
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn room_is_taken_once_and_given_back() {
        let room = Room::new(2, 100);
        assert!(matches!(room.take(101), Err(Error::Busy(_))));
        room.take(60).unwrap();
        assert!(room.take(60).unwrap_err().to_string().contains("40 are free"));
        room.take(40).unwrap();
        assert!(room.take(0).unwrap_err().to_string().contains("as many sessions"));
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
        // The small one would have had room all the time, but came second.
        assert!(now(&mut small).is_none());
        large.await;
        small.await;
    }

    /// What a future gives now, if anything.
    fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
