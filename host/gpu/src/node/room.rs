//! Room for sessions: their number and their memory, set aside when they open, so that no session can take what another
//! was promised.

use crate::Error;
use parking_lot::Mutex;

/// What is left of a device.
pub(super) struct Room(Mutex<Left>);

struct Left {
    sessions: usize,
    bytes: u64,
}

impl Room {
    pub(super) fn new(sessions: usize, bytes: u64) -> Self {
        Self(Mutex::new(Left { sessions, bytes }))
    }

    /// Sets a session's memory aside.
    ///
    /// # Errors
    /// [`Error::Busy`] when there is no room now.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Error> {
        let mut left = self.0.lock();
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

    /// Gives a session's memory back, once the device has freed it.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut left = self.0.lock();
        left.sessions += 1;
        left.bytes += bytes;
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
}
