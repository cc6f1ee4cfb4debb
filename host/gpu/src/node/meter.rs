//! Device time of one session: remaining and spent.

use std::time::Duration;

/// A meter of device time. It charges the whole deadline in advance, so that dropping a call does not avoid its cost.
///
/// The call that exhausts the grant runs to completion, because stopping it would take the device from all sessions. A
/// session can therefore exceed its grant by less than one call's deadline.
pub(super) struct Meter {
    left: Duration,
    spent: Duration,
}

/// Device time charged in advance.
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

    /// Charges a whole deadline. Returns `None` if no time is left.
    pub(super) fn reserve(&mut self, deadline: Duration) -> Option<Reserved> {
        let taken = deadline.min(self.left);
        if taken.is_zero() {
            return None;
        }
        self.left -= taken;
        self.spent += deadline;
        Some(Reserved { deadline, taken })
    }

    /// Refunds the unused part of a reservation.
    pub(super) fn settle(&mut self, reserved: Reserved, used: Duration) {
        let used = used.min(reserved.deadline);
        self.left += reserved.taken.saturating_sub(used);
        self.spent -= reserved.deadline - used;
    }
}

#[cfg(test)]
mod tests {
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
        // Never settled, so its whole deadline counts.
        meter.reserve(ms(60)).unwrap();
        assert_eq!((meter.left(), meter.spent()), (ms(10), ms(90)));
        let last = meter.reserve(ms(80)).unwrap();
        assert!(meter.reserve(ms(1)).is_none());
        meter.settle(last, ms(50));
        assert_eq!((meter.left(), meter.spent()), (ms(0), ms(140)));
        assert!(meter.reserve(ms(1)).is_none());
    }
}
