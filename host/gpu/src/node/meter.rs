//! Device time of one session: what is left of its grant, and what it spent.

use std::time::Duration;

/// Counts in advance, so that nobody saves by going away.
///
/// The call that uses the rest up is let end: to stop it would take the device from everybody. So a session can spend more
/// than its grant, by less than one call's deadline.
pub(super) struct Meter {
    left: Duration,
    spent: Duration,
}

/// Time that was counted in advance.
#[derive(Clone, Copy)]
pub(super) struct Reserved {
    deadline: Duration,
    taken: Duration,
}

impl Meter {
    pub(super) fn new(grant: Duration) -> Self {
        Self { left: grant, spent: Duration::ZERO }
    }

    pub(super) fn left(&self) -> Duration {
        self.left
    }

    pub(super) fn spent(&self) -> Duration {
        self.spent
    }

    /// Counts a whole deadline; none when nothing is left.
    pub(super) fn reserve(&mut self, deadline: Duration) -> Option<Reserved> {
        let taken = deadline.min(self.left);
        if taken.is_zero() {
            return None;
        }
        self.left -= taken;
        self.spent += deadline;
        Some(Reserved { deadline, taken })
    }

    /// Gives back what of a reservation was not used.
    pub(super) fn settle(&mut self, reserved: Reserved, used: Duration) {
        let used = used.min(reserved.deadline);
        self.left += reserved.taken.saturating_sub(used);
        self.spent -= reserved.deadline - used;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_not_used_is_given_back_and_the_last_call_may_end() {
        let mut meter = Meter::new(ms(100));
        let first = meter.reserve(ms(80)).unwrap();
        assert_eq!((meter.left(), meter.spent()), (ms(20), ms(80)));
        meter.settle(first, ms(30));
        assert_eq!((meter.left(), meter.spent()), (ms(70), ms(30)));
        // Nobody waits for it: its whole deadline counts.
        meter.reserve(ms(60)).unwrap();
        assert_eq!((meter.left(), meter.spent()), (ms(10), ms(90)));
        let last = meter.reserve(ms(80)).unwrap();
        assert!(meter.reserve(ms(1)).is_none());
        meter.settle(last, ms(50));
        assert_eq!((meter.left(), meter.spent()), (ms(0), ms(140)));
        assert!(meter.reserve(ms(1)).is_none());
    }
}
