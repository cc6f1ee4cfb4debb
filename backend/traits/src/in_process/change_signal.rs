//! Change signals for the followers of journal streams.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Notify, futures::Notified};

/// The change signal of one journal stream.
#[derive(Debug, Default)]
pub struct ChangeSignal {
    ended: AtomicBool,
    wake: Notify,
}

impl ChangeSignal {
    /// Returns `true` if this process deleted the stream or closed the journal.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves at the next signal after this call, even if the future was not polled before the signal.
    pub fn notified(&self) -> Notified<'_> {
        self.wake.notified()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }
}

/// The change signals of all streams with a follower. Bounded by the number of followers.
#[derive(Debug, Default)]
pub struct ChangeSignals {
    streams: Mutex<HashMap<String, Weak<ChangeSignal>>>,
}

impl ChangeSignals {
    /// Returns the change signal of a stream. All its followers share it.
    #[must_use]
    pub fn follow(&self, stream: &str) -> Arc<ChangeSignal> {
        let mut streams = self.streams.lock();
        if let Some(signal) = streams.get(stream).and_then(Weak::upgrade) {
            return signal;
        }
        // Signals without followers are removed before the map would grow.
        if streams.len() == streams.capacity() {
            streams.retain(|_, signal| signal.strong_count() > 0);
        }
        let signal = Arc::new(ChangeSignal::default());
        streams.insert(stream.to_owned(), Arc::downgrade(&signal));
        signal
    }

    /// Wakes the followers of a stream.
    pub fn notify(&self, stream: &str) {
        if let Some(signal) = self.streams.lock().get(stream).and_then(Weak::upgrade) {
            signal.wake.notify_waiters();
        }
    }

    /// Ends the followers of a deleted stream, even if a stream of the same name is created later.
    pub fn end(&self, stream: &str) {
        if let Some(signal) = self.streams.lock().remove(stream).and_then(|weak| weak.upgrade()) {
            signal.end();
        }
    }

    /// Ends all followers.
    pub fn close(&self) {
        for (_, signal) in self.streams.lock().drain() {
            if let Some(signal) = signal.upgrade() {
                signal.end();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_signal_after_the_call_is_not_missed_and_reaches_only_its_stream() {
        let signals = ChangeSignals::default();
        let (one, other) = (signals.follow("one"), signals.follow("other"));
        let (first, second) = (one.notified(), one.notified());
        let elsewhere = other.notified();
        signals.notify("one");
        assert!(first.now_or_never().is_some() && second.now_or_never().is_some());
        assert!(elsewhere.now_or_never().is_none());
        assert!(one.notified().now_or_never().is_none(), "an earlier signal does not count");
        assert!(!one.ended());
    }

    #[test]
    fn followers_of_a_deleted_stream_end_and_those_of_its_successor_do_not() {
        let signals = ChangeSignals::default();
        let old = signals.follow("s");
        let waiting = old.notified();
        signals.end("s");
        assert!(waiting.now_or_never().is_some() && old.ended());
        let new = signals.follow("s");
        signals.notify("s");
        assert!(!new.ended());
        signals.close();
        assert!(new.ended());
    }

    #[test]
    fn streams_without_followers_are_removed() {
        let signals = ChangeSignals::default();
        let kept = signals.follow("kept");
        for n in 0..10_000 {
            drop(signals.follow(&n.to_string()));
        }
        assert!(signals.streams.lock().len() < 100);
        assert!(Arc::ptr_eq(&kept, &signals.follow("kept")));
    }
}
