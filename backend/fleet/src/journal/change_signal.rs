//! Change signals for followers in this process, for appends and deletions by any process.

use super::{SUBJECT, Shared};
use crate::{
    Error,
    envelope::{self, Kind},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Notice kind: the stream grew.
pub(super) const APPENDED: u8 = b'a';
/// Notice kind: the stream was deleted.
pub(super) const DELETED: u8 = b'd';

/// The change signal of one stream.
#[derive(Default)]
pub(super) struct ChangeSignal {
    ended: AtomicBool,
    wake: Notify,
}

impl ChangeSignal {
    /// Returns `true` if this process deleted the stream.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves at the next signal after this call, even if the future was not polled before the signal.
    pub(super) fn rung(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }
}

/// The signals of all streams with a follower.
#[derive(Default)]
pub(super) struct ChangeSignals(Mutex<HashMap<String, Weak<ChangeSignal>>>);

impl ChangeSignals {
    pub(super) fn follow(&self, stream: &str) -> Arc<ChangeSignal> {
        let mut bells = self.0.lock();
        if let Some(bell) = bells.get(stream).and_then(Weak::upgrade) {
            return bell;
        }
        if bells.len() == bells.capacity() {
            bells.retain(|_, bell| bell.strong_count() > 0);
        }
        let bell = Arc::new(ChangeSignal::default());
        bells.insert(stream.to_owned(), Arc::downgrade(&bell));
        bell
    }

    pub(super) fn ring(&self, stream: &str) {
        if let Some(bell) = self.0.lock().get(stream).and_then(Weak::upgrade) {
            bell.wake.notify_waiters();
        }
    }

    /// Ends the followers of a deleted stream, even if a stream of the same name is created later.
    pub(super) fn end(&self, stream: &str) {
        if let Some(bell) = self.0.lock().remove(stream).and_then(|weak| weak.upgrade()) {
            bell.ended.store(true, Ordering::Release);
            bell.wake.notify_waiters();
        }
    }
}

pub(super) fn notice(origin: u64, what: u8, stream: &str) -> Bytes {
    envelope::write(Kind::Journal, origin, &[&[what], stream.as_bytes()])
}

fn parse(payload: &Bytes) -> Option<(u64, &str)> {
    let (origin, rest) = envelope::read(Kind::Journal, payload)?;
    let (what, stream) = rest.split_first()?;
    matches!(*what, APPENDED | DELETED).then_some((origin, std::str::from_utf8(stream).ok()?))
}

/// Signals appends and deletions by other processes.
pub(super) async fn listen(
    shared: &Arc<Shared>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let link = shared.link.clone();
    let mut heard = link.subscribe("listen to appends", link.subject(SUBJECT)).await?;
    let weak = Arc::downgrade(shared);
    Ok(async move {
        while let Some(Some(message)) = stop.run_until_cancelled(heard.next()).await {
            let Some((origin, stream)) = parse(&message.payload) else {
                link.ignore(SUBJECT, "not a stream notice");
                continue;
            };
            let Some(shared) = weak.upgrade() else { return };
            if origin != link.origin {
                // A deletion only wakes the follower, which then checks the store instead of trusting the message.
                shared.bells.ring(stream);
            }
        }
    })
}
