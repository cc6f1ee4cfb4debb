//! Leases as objects: who holds, which epoch, for how long. Changed only under the entity tag that was seen.
//!
//! No clock is compared with another's. A contender takes a lease over when it has seen the same entity tag, unchanged, for
//! the lease's whole time on its own monotonic clock, as Kubernetes' leader election does; the holder writes before that.
//! Objects are never removed, so epochs never go back, and nothing here needs NATS.

use crate::{
    Error, names,
    objects::{Found, Objects, Written, same_tag},
    turns::Turns,
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_engine::lease::{Held, Lease, Leases};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Longest object.
const LONGEST: u64 = 64 << 10;
/// Leases of others that are watched at once; beyond it all are forgotten, which only makes contenders wait again.
const WATCHED: usize = 65_536;
/// Times a change is tried again because another changed the object meanwhile.
const ROUNDS: u32 = 8;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    holder: String,
    epoch: u64,
    ttl_ms: u64,
    released: bool,
    /// Of this write alone: renewing changes the entity tag even when nothing else changes.
    nonce: u64,
}

impl Stored {
    fn new(holder: &str, epoch: u64, ttl: Duration) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self { holder: holder.to_owned(), epoch, ttl_ms, released: false, nonce: rand::random() }
    }

    fn encode(&self) -> Result<Bytes, Error> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|e| Error::Damaged(format!("a lease can't be written down: {e}")))
    }

    fn decode(name: &str, found: &Found) -> Result<Self, Error> {
        serde_json::from_slice(&found.bytes).map_err(|_| Error::Damaged(format!("lease `{name}` does not read back")))
    }
}

/// An entity tag, and since when it has been this one as far as we know.
struct Seen {
    etag: String,
    since: Instant,
    ttl: Duration,
    /// The epoch, where this process itself holds it.
    ours: Option<u64>,
}

pub(crate) struct FleetLeases {
    objects: Objects,
    seen: Mutex<HashMap<String, Seen>>,
    /// Keep contenders of this process from racing each other in the store.
    turns: Turns,
}

impl FleetLeases {
    pub(crate) fn new(objects: Objects) -> Self {
        Self { objects, seen: Mutex::default(), turns: Turns::new() }
    }

    /// Remembers what this process wrote. `since` is from before the write, so that we never think we hold longer than
    /// others do.
    fn wrote(&self, name: &str, etag: String, stored: &Stored, since: Instant) {
        let ttl = Duration::from_millis(stored.ttl_ms);
        let ours = (!stored.released).then_some(stored.epoch);
        self.remember(name, Seen { etag, since, ttl, ours });
    }

    fn remember(&self, name: &str, seen: Seen) {
        let mut all = self.seen.lock();
        if all.len() >= WATCHED && !all.contains_key(name) {
            all.clear();
        }
        all.insert(name.to_owned(), seen);
    }

    /// Looks at what another holds: whether its time has passed while we watched.
    fn has_run_out(&self, name: &str, etag: &str, stored: &Stored) -> bool {
        let now = Instant::now();
        {
            let all = self.seen.lock();
            if let Some(seen) = all.get(name).filter(|seen| same_tag(&seen.etag, etag)) {
                // A tag that this process wrote counts from before the write, which is a little early for others.
                return now.saturating_duration_since(seen.since) >= seen.ttl;
            }
        }
        let ttl = Duration::from_millis(stored.ttl_ms);
        self.remember(name, Seen { etag: etag.to_owned(), since: now, ttl, ours: None });
        false
    }

    /// Whether this process itself took the lease with this epoch and its time has not passed.
    fn holds(&self, name: &str, epoch: u64) -> bool {
        let all = self.seen.lock();
        all.get(name).is_some_and(|seen| seen.ours == Some(epoch) && seen.since.elapsed() < seen.ttl)
    }
}

fn lease(name: &str, stored: &Stored) -> Lease {
    Lease { name: name.to_owned(), holder: stored.holder.clone(), epoch: stored.epoch }
}

#[async_trait]
impl Leases for FleetLeases {
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let path = names::leaf(self.objects.root(), name)?;
        let _turn = self.turns.wait(name).await;
        let mut found = self.objects.get(&path, LONGEST).await?;
        for round in 0..ROUNDS {
            let since = Instant::now();
            let (next, written) = match &found {
                None => {
                    let next = Stored::new(holder, 1, ttl);
                    let written = self.objects.create(&path, next.encode()?).await?;
                    (next, written)
                }
                Some(there) => {
                    let stored = Stored::decode(name, there)?;
                    let epoch = if stored.holder == holder && !stored.released && self.holds(name, stored.epoch) {
                        stored.epoch
                    } else if stored.released || stored.holder == holder
                        // Not after losing a race: whoever won it holds now, however long the race took.
                        || (self.has_run_out(name, &there.etag, &stored) && round == 0)
                    {
                        // A holder of our name that isn't this process is its former life: it is fenced like any other.
                        stored.epoch.saturating_add(1)
                    } else {
                        return Ok(None);
                    };
                    let next = Stored::new(holder, epoch, ttl);
                    let written = self.objects.replace(&path, &there.etag, next.encode()?).await?;
                    (next, written)
                }
            };
            match written {
                Written::Done(etag) => {
                    self.wrote(name, etag, &next, since);
                    return Ok(Some(lease(name, &next)));
                }
                Written::Other(other) => found = Some(other),
                Written::Nothing => found = None,
            }
        }
        Ok(None)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), Error> {
        let name = &lease.name;
        let lost = || Error::LeaseLost { name: name.clone() };
        let path = names::leaf(self.objects.root(), name)?;
        // One request where nobody else wrote: the tag of our last write is known.
        let known = self.seen.lock().get(name).filter(|seen| seen.ours == Some(lease.epoch)).map(|s| s.etag.clone());
        let mut etag = match known {
            Some(etag) => etag,
            None => match self.objects.get(&path, LONGEST).await? {
                Some(found) if mine(name, &found, lease)? => found.etag,
                _ => return Err(lost()),
            },
        };
        for _ in 0..ROUNDS {
            let since = Instant::now();
            let next = Stored::new(&lease.holder, lease.epoch, ttl);
            match self.objects.replace(&path, &etag, next.encode()?).await? {
                Written::Done(etag) => {
                    self.wrote(name, etag, &next, since);
                    return Ok(());
                }
                // Renewed elsewhere in this process.
                Written::Other(found) if mine(name, &found, lease)? => etag = found.etag,
                Written::Other(_) | Written::Nothing => {
                    self.seen.lock().remove(name);
                    return Err(lost());
                }
            }
        }
        Err(lost())
    }

    async fn look(&self, name: &str) -> Result<Option<Held>, Error> {
        let path = names::leaf(self.objects.root(), name)?;
        let Some(found) = self.objects.get(&path, LONGEST).await? else { return Ok(None) };
        let stored = Stored::decode(name, &found)?;
        Ok((!stored.released).then(|| Held { lease: lease(name, &stored), version: found.etag }))
    }

    async fn take_over(&self, seen: &Held, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let name = &seen.lease.name;
        let path = names::leaf(self.objects.root(), name)?;
        let _turn = self.turns.wait(name).await;
        let since = Instant::now();
        let next = Stored::new(holder, seen.lease.epoch.saturating_add(1), ttl);
        match self.objects.replace(&path, &seen.version, next.encode()?).await? {
            Written::Done(etag) => {
                self.wrote(name, etag, &next, since);
                Ok(Some(lease(name, &next)))
            }
            Written::Other(_) | Written::Nothing => Ok(None),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let name = &lease.name;
        let path = names::leaf(self.objects.root(), name)?;
        let mut found = self.objects.get(&path, LONGEST).await?;
        for _ in 0..ROUNDS {
            let Some(there) = found else { return Ok(()) };
            if !mine(name, &there, lease)? {
                return Ok(());
            }
            let next = Stored { released: true, ..Stored::new(&lease.holder, lease.epoch, Duration::ZERO) };
            match self.objects.replace(&path, &there.etag, next.encode()?).await? {
                Written::Done(etag) => {
                    self.wrote(name, etag, &next, Instant::now());
                    return Ok(());
                }
                Written::Other(other) => found = Some(other),
                Written::Nothing => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Whether what is there is still this hold.
fn mine(name: &str, found: &Found, lease: &Lease) -> Result<bool, Error> {
    let stored = Stored::decode(name, found)?;
    Ok(!stored.released && stored.epoch == lease.epoch && stored.holder == lease.holder)
}
