//! Leases as objects that store the holder, the epoch and the duration. Every change is conditional on the entity tag
//! that was read.
//!
//! Clocks of different processes are never compared. A contender takes a lease over after it has seen the same entity
//! tag for the lease's whole duration on its own monotonic clock, as in Kubernetes' leader election; the holder renews
//! before that. Lease objects are never deleted, so epochs never decrease. Leases do not use NATS.

use crate::{
    Error,
    keyed_locks::KeyedLocks,
    names,
    objects::{Found, Objects, WriteOutcome, same_tag},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::lease::{Lease, Leases, ObservedLease};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Maximum size of an object in bytes.
const LONGEST: u64 = 64 << 10;
/// Maximum number of observed leases. Above it all are forgotten, which only makes contenders wait for the full
/// duration again.
const WATCHED: usize = 65_536;
/// Maximum attempts of a change after conflicts.
const ROUNDS: u32 = 8;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    holder: String,
    epoch: u64,
    ttl_ms: u64,
    released: bool,
    /// Random number of this write, so that a renewal changes the entity tag even if nothing else changes.
    nonce: u64,
}

impl Stored {
    fn new(holder: &str, epoch: u64, ttl: Duration) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self { holder: holder.to_owned(), epoch, ttl_ms, released: false, nonce: rand::random() }
    }

    fn encode(&self) -> Result<Bytes, Error> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|e| Error::Damaged(format!("cannot encode a lease: {e}")))
    }

    fn decode(name: &str, found: &Found) -> Result<Self, Error> {
        serde_json::from_slice(&found.bytes).map_err(|_| Error::Damaged(format!("lease `{name}` cannot be decoded")))
    }
}

/// An entity tag and the time since which this process has observed it.
struct Seen {
    etag: String,
    since: Instant,
    ttl: Duration,
    /// The epoch, if this process holds the lease.
    ours: Option<u64>,
}

pub(crate) struct FleetLeases {
    objects: Objects,
    seen: Mutex<HashMap<String, Seen>>,
    /// Prevents contenders of this process from racing in the store.
    locks: KeyedLocks,
}

impl FleetLeases {
    pub(crate) fn new(objects: Objects) -> Self {
        Self { objects, seen: Mutex::default(), locks: KeyedLocks::new() }
    }

    /// Stores the result of a write by this process. `since` is taken before the write, so that this process never
    /// assumes to hold the lease longer than others do.
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

    /// Returns `true` if the lease of another holder expired under observation. Starts to observe it otherwise.
    fn has_run_out(&self, name: &str, etag: &str, stored: &Stored) -> bool {
        let now = Instant::now();
        {
            let all = self.seen.lock();
            if let Some(seen) = all.get(name).filter(|seen| same_tag(&seen.etag, etag)) {
                // The time of a tag written by this process is from before the write, slightly earlier than for other
                // processes.
                return now.saturating_duration_since(seen.since) >= seen.ttl;
            }
        }
        let ttl = Duration::from_millis(stored.ttl_ms);
        self.remember(name, Seen { etag: etag.to_owned(), since: now, ttl, ours: None });
        false
    }

    /// Returns `true` if this process acquired the lease with this epoch and its duration has not passed.
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
        let _lock = self.locks.wait(name).await;
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
                        // Not after a lost race: the winner is the new holder, even if the race took long.
                        || (self.has_run_out(name, &there.etag, &stored) && round == 0)
                    {
                        // A holder of the same name in another process is a predecessor, and is fenced like any other.
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
                WriteOutcome::Written(etag) => {
                    self.wrote(name, etag, &next, since);
                    return Ok(Some(lease(name, &next)));
                }
                WriteOutcome::Conflict(other) => found = Some(other),
                WriteOutcome::Missing => found = None,
            }
        }
        Ok(None)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), Error> {
        let name = &lease.name;
        let lost = || Error::LeaseLost { name: name.clone() };
        let path = names::leaf(self.objects.root(), name)?;
        // One request if no other process wrote, since the tag of the last write is cached.
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
                WriteOutcome::Written(etag) => {
                    self.wrote(name, etag, &next, since);
                    return Ok(());
                }
                // Renewed elsewhere in this process.
                WriteOutcome::Conflict(found) if mine(name, &found, lease)? => etag = found.etag,
                WriteOutcome::Conflict(_) | WriteOutcome::Missing => {
                    self.seen.lock().remove(name);
                    return Err(lost());
                }
            }
        }
        Err(lost())
    }

    async fn get(&self, name: &str) -> Result<Option<ObservedLease>, Error> {
        let path = names::leaf(self.objects.root(), name)?;
        let Some(found) = self.objects.get(&path, LONGEST).await? else { return Ok(None) };
        let stored = Stored::decode(name, &found)?;
        Ok((!stored.released).then(|| ObservedLease { lease: lease(name, &stored), version: found.etag }))
    }

    async fn take_over(&self, seen: &ObservedLease, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let name = &seen.lease.name;
        let path = names::leaf(self.objects.root(), name)?;
        let _lock = self.locks.wait(name).await;
        let since = Instant::now();
        let next = Stored::new(holder, seen.lease.epoch.saturating_add(1), ttl);
        match self.objects.replace(&path, &seen.version, next.encode()?).await? {
            WriteOutcome::Written(etag) => {
                self.wrote(name, etag, &next, since);
                Ok(Some(lease(name, &next)))
            }
            WriteOutcome::Conflict(_) | WriteOutcome::Missing => Ok(None),
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
                WriteOutcome::Written(etag) => {
                    self.wrote(name, etag, &next, Instant::now());
                    return Ok(());
                }
                WriteOutcome::Conflict(other) => found = Some(other),
                WriteOutcome::Missing => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Returns `true` if the stored lease is still `lease`.
fn mine(name: &str, found: &Found, lease: &Lease) -> Result<bool, Error> {
    let stored = Stored::decode(name, found)?;
    Ok(!stored.released && stored.epoch == lease.epoch && stored.holder == lease.holder)
}
