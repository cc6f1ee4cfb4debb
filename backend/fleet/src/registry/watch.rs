//! Change notification for watchers: immediate for writers of this process, by notices for other processes, and in any
//! case by polling, periodically and whenever notices may have been missed. A change that arrives twice is delivered
//! once, since the revisions of a key only grow.

use super::{SUBJECT, Shared};
use crate::{
    Error,
    envelope::{self, Kind},
    link::ConnectionState,
    names,
    objects::same_tag,
    tasks::Tasks,
};
use bytes::Bytes;
use fabric_backend::in_process::ChangeWatcher;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Starts a watcher. Its polling task ends with the watcher or with the backend.
pub(super) fn begin(shared: &Arc<Shared>, prefix: &str, tasks: &Tasks) -> Arc<ChangeWatcher> {
    let watcher = shared.watchers.watch(prefix);
    let stop = tasks.stop();
    let (every, connection) = (shared.poll_interval, shared.link.connection());
    let (shared, weak) = (Arc::downgrade(shared), Arc::downgrade(&watcher));
    tasks.spawn(async move {
        stop.run_until_cancelled(poll_regularly(every, connection, shared, weak)).await;
    });
    watcher
}

type Connection = tokio::sync::watch::Receiver<ConnectionState>;

async fn poll_regularly(
    every: Duration,
    mut connection: Connection,
    shared: Weak<Shared>,
    watcher: Weak<ChangeWatcher>,
) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: Option<HashMap<String, String>> = None;
    let mut gaps = connection.borrow_and_update().gaps;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // Notices may have been missed: poll now.
            () = missed(&mut connection, &mut gaps) => {}
        }
        let (Some(shared), Some(watcher)) = (shared.upgrade(), watcher.upgrade()) else { return };
        if let Err(error) = poll(&shared, &watcher, &mut seen).await {
            tracing::warn!(%error, prefix = watcher.prefix(), "registry watcher failed to poll, retrying");
        }
    }
}

/// Waits until notices may have been missed.
async fn missed(connection: &mut Connection, gaps: &mut u64) {
    loop {
        if connection.changed().await.is_err() {
            // The connection is closed permanently. Polling continues.
            std::future::pending::<()>().await;
        }
        let now = connection.borrow_and_update().gaps;
        if now != *gaps {
            *gaps = now;
            return;
        }
    }
}

/// Compares the entity tags with those of the last poll, and offers the changed keys. The first poll only records them.
async fn poll(
    shared: &Shared,
    watcher: &ChangeWatcher,
    seen: &mut Option<HashMap<String, String>>,
) -> Result<(), Error> {
    let root = shared.objects.root();
    let listed = shared.objects.list(&names::folder(root, watcher.prefix()).0).await?;
    let mut now = HashMap::with_capacity(listed.len());
    for meta in listed {
        let Some(key) = names::name(root, &meta.location) else { continue };
        let Some(etag) = meta.e_tag.filter(|_| key.starts_with(watcher.prefix())) else { continue };
        let changed = seen.as_ref().is_some_and(|seen| seen.get(&key).is_none_or(|old| !same_tag(old, &etag)));
        if changed && let Some(state) = shared.listed(&key, Some(&etag)).await? {
            shared.tell_watchers(&key, &state);
        }
        now.insert(key, etag);
    }
    *seen = Some(now);
    Ok(())
}

/// Returns a task that receives the changes of other processes, and reads the keys that a watcher of this process
/// needs.
pub(super) async fn listen(
    shared: &Arc<Shared>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let link = shared.link.clone();
    let mut subscription = link.subscribe("listen to changes", link.subject(SUBJECT)).await?;
    let weak = Arc::downgrade(shared);
    Ok(async move {
        while let Some(Some(message)) = stop.run_until_cancelled(subscription.next()).await {
            let Some((origin, revision, key)) = parse(&message.payload) else {
                link.ignore(SUBJECT, "not a change");
                continue;
            };
            if origin == link.origin {
                continue;
            }
            let Some(shared) = weak.upgrade() else { return };
            if !shared.watchers.wants(key, revision) {
                continue;
            }
            match stop.run_until_cancelled(shared.fetch(key)).await {
                Some(Ok(Some(state))) => shared.tell_watchers(key, &state),
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, key, "failed to read a changed registry key, retrying at the next poll")
                }
                None => return,
            }
        }
    })
}

fn parse(payload: &Bytes) -> Option<(u64, u64, &str)> {
    let (origin, rest) = envelope::read(Kind::Registry, payload)?;
    let (revision, key) = rest.split_first_chunk::<8>()?;
    Some((origin, u64::from_be_bytes(*revision), std::str::from_utf8(key).ok()?))
}
