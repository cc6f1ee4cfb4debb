//! Notices of appends and deletions, which signal the followers in other processes.

use super::{SUBJECT, Shared};
use crate::{
    Error,
    envelope::{self, Kind},
};
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Notice kind: the stream grew.
pub(super) const APPENDED: u8 = b'a';
/// Notice kind: the stream was deleted.
pub(super) const DELETED: u8 = b'd';

pub(super) fn encode(origin: u64, what: u8, stream: &str) -> Bytes {
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
    let mut subscription = link.subscribe("listen to appends", link.subject(SUBJECT)).await?;
    let weak = Arc::downgrade(shared);
    Ok(async move {
        while let Some(Some(message)) = stop.run_until_cancelled(subscription.next()).await {
            let Some((origin, stream)) = parse(&message.payload) else {
                link.ignore(SUBJECT, "not a stream notice");
                continue;
            };
            let Some(shared) = weak.upgrade() else { return };
            if origin != link.origin {
                // A deletion only wakes the follower, which then checks the store instead of trusting the message.
                shared.signals.notify(stream);
            }
        }
    })
}
