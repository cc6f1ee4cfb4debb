//! Tells followers in this process that a stream grew or ended, whoever did it.

use super::{SUBJECT, Shared};
use crate::{
    Error,
    word::{self, Kind},
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

/// A notice's kind: the stream grew.
pub(super) const APPENDED: u8 = b'a';
/// A notice's kind: the stream was deleted.
pub(super) const DELETED: u8 = b'd';

/// Rings for one stream.
#[derive(Default)]
pub(super) struct Bell {
    ended: AtomicBool,
    wake: Notify,
}

impl Bell {
    /// Whether this process deleted the stream.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves at the next ring after this call, even if it is not polled before it.
    pub(super) fn rung(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }
}

/// The bells of all streams that somebody follows.
#[derive(Default)]
pub(super) struct Bells(Mutex<HashMap<String, Weak<Bell>>>);

impl Bells {
    pub(super) fn follow(&self, stream: &str) -> Arc<Bell> {
        let mut bells = self.0.lock();
        if let Some(bell) = bells.get(stream).and_then(Weak::upgrade) {
            return bell;
        }
        if bells.len() == bells.capacity() {
            bells.retain(|_, bell| bell.strong_count() > 0);
        }
        let bell = Arc::new(Bell::default());
        bells.insert(stream.to_owned(), Arc::downgrade(&bell));
        bell
    }

    pub(super) fn ring(&self, stream: &str) {
        if let Some(bell) = self.0.lock().get(stream).and_then(Weak::upgrade) {
            bell.wake.notify_waiters();
        }
    }

    /// Those who follow a deleted stream are done, even if another of the same name begins.
    pub(super) fn end(&self, stream: &str) {
        if let Some(bell) = self.0.lock().remove(stream).and_then(|weak| weak.upgrade()) {
            bell.ended.store(true, Ordering::Release);
            bell.wake.notify_waiters();
        }
    }
}

pub(super) fn notice(origin: u64, what: u8, stream: &str) -> Bytes {
    word::write(Kind::Journal, origin, &[&[what], stream.as_bytes()])
}

fn parse(payload: &Bytes) -> Option<(u64, &str)> {
    let (origin, rest) = word::read(Kind::Journal, payload)?;
    let (what, stream) = rest.split_first()?;
    matches!(*what, APPENDED | DELETED).then_some((origin, std::str::from_utf8(stream).ok()?))
}

/// Rings when others append or delete.
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
                link.ignore(SUBJECT, "not about a stream");
                continue;
            };
            let Some(shared) = weak.upgrade() else { return };
            if origin != link.origin {
                // Of a deletion too: the follower then looks, and sees it by the store's word rather than by a message's.
                shared.bells.ring(stream);
            }
        }
    })
}
