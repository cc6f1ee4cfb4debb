//! Change notification for watchers: immediate for writers of this process, by notices for other processes, and in any
//! case by polling, periodically and whenever notices may have been missed. A change that arrives twice is delivered
//! once, since the revisions of a key only grow.

use super::{SUBJECT, Shared};
use crate::{
    Error,
    envelope::{self, Kind},
    names,
    objects::same_tag,
    tasks::Tasks,
};
use bytes::Bytes;
use fabric_backend::registry::Change;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Backlog {
    order: VecDeque<String>,
    newest: HashMap<String, Change>,
    /// The newest revision that was offered of each key. Bounded by the number of keys under the prefix.
    known: HashMap<String, u64>,
    closed: bool,
}

/// A watcher.
pub(super) struct Watcher {
    prefix: String,
    backlog: Mutex<Backlog>,
    wake: Notify,
}

impl Watcher {
    fn wants(&self, key: &str, revision: u64) -> bool {
        key.starts_with(&self.prefix) && self.backlog.lock().known.get(key).is_none_or(|known| *known < revision)
    }

    pub(super) fn offer(&self, key: &str, revision: u64, change: impl FnOnce() -> Change) {
        if !key.starts_with(&self.prefix) {
            return;
        }
        let mut backlog = self.backlog.lock();
        if backlog.known.get(key).is_some_and(|known| *known >= revision) {
            return;
        }
        backlog.known.insert(key.to_owned(), revision);
        if backlog.newest.insert(key.to_owned(), change()).is_none() {
            backlog.order.push_back(key.to_owned());
        }
        drop(backlog);
        self.wake.notify_one();
    }

    /// Returns the next change, or `None` after the registry was closed. Cancel safe.
    pub(super) async fn next(&self) -> Option<Change> {
        loop {
            {
                let mut backlog = self.backlog.lock();
                if let Some(key) = backlog.order.pop_front() {
                    return backlog.newest.remove(&key);
                }
                if backlog.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    fn close(&self) {
        self.backlog.lock().closed = true;
        self.wake.notify_one();
    }
}

/// Starts a watcher. Its polling task ends with the watcher or with the backend.
pub(super) fn begin(shared: &Arc<Shared>, prefix: &str, tasks: &Tasks) -> Arc<Watcher> {
    let watcher = Arc::new(Watcher { prefix: prefix.to_owned(), backlog: Mutex::default(), wake: Notify::new() });
    shared.watchers.lock().push(Arc::downgrade(&watcher));
    let stop = tasks.stop();
    let (every, hearing) = (shared.look_every, shared.link.hearing());
    let (shared, weak) = (Arc::downgrade(shared), Arc::downgrade(&watcher));
    tasks.spawn(async move {
        stop.run_until_cancelled(look_now_and_then(every, hearing, shared, weak.clone())).await;
        if let Some(watcher) = weak.upgrade() {
            watcher.close();
        }
    });
    watcher
}

type Hearing = tokio::sync::watch::Receiver<crate::link::Hearing>;

async fn look_now_and_then(every: Duration, mut hearing: Hearing, shared: Weak<Shared>, watcher: Weak<Watcher>) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: Option<HashMap<String, String>> = None;
    let mut gaps = hearing.borrow_and_update().gaps;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // Notices may have been missed: poll now.
            () = missed(&mut hearing, &mut gaps) => {}
        }
        let (Some(shared), Some(watcher)) = (shared.upgrade(), watcher.upgrade()) else { return };
        if let Err(error) = look(&shared, &watcher, &mut seen).await {
            tracing::warn!(%error, prefix = watcher.prefix, "registry watcher failed to poll, retrying");
        }
    }
}

/// Waits until notices may have been missed.
async fn missed(hearing: &mut Hearing, gaps: &mut u64) {
    loop {
        if hearing.changed().await.is_err() {
            // The connection is closed permanently. Polling continues.
            std::future::pending::<()>().await;
        }
        let now = hearing.borrow_and_update().gaps;
        if now != *gaps {
            *gaps = now;
            return;
        }
    }
}

/// Compares the entity tags with those of the last poll, and offers the changed keys. The first poll only records them.
async fn look(shared: &Shared, watcher: &Watcher, seen: &mut Option<HashMap<String, String>>) -> Result<(), Error> {
    let root = shared.objects.root();
    let listed = shared.objects.list(&names::folder(root, &watcher.prefix).0).await?;
    let mut now = HashMap::with_capacity(listed.len());
    for meta in listed {
        let Some(key) = names::name(root, &meta.location) else { continue };
        let Some(etag) = meta.e_tag.filter(|_| key.starts_with(&watcher.prefix)) else { continue };
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
    let mut heard = link.subscribe("listen to changes", link.subject(SUBJECT)).await?;
    let weak = Arc::downgrade(shared);
    Ok(async move {
        while let Some(Some(message)) = stop.run_until_cancelled(heard.next()).await {
            let Some((origin, revision, key)) = parse(&message.payload) else {
                link.ignore(SUBJECT, "not a change");
                continue;
            };
            if origin == link.origin {
                continue;
            }
            let Some(shared) = weak.upgrade() else { return };
            let watchers: Vec<_> = shared.watchers.lock().iter().filter_map(Weak::upgrade).collect();
            if !watchers.iter().any(|watcher| watcher.wants(key, revision)) {
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
