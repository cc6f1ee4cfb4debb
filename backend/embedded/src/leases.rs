//! Leases in memory. Each time the file is opened, epochs start above all earlier ones, so that fencing holds across
//! restarts.

use async_trait::async_trait;
use fabric_backend::{
    Error,
    lease::{Lease, Leases, ObservedLease},
};
use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Number of names above which expired leases are removed. The holder of a removed lease cannot renew it.
const REMEMBERED: usize = 65_536;

struct Entry {
    holder: String,
    epoch: u64,
    renewals: u64,
    until: Instant,
}

#[derive(Default)]
struct State {
    held: HashMap<String, Entry>,
    epoch: u64,
}

pub(super) struct LocalLeases {
    state: Mutex<State>,
}

impl LocalLeases {
    /// Creates an empty table. `boot` is the number of times the file has been opened.
    pub(super) fn new(boot: u64) -> Self {
        Self { state: Mutex::new(State { held: HashMap::new(), epoch: boot << 32 }) }
    }
}

#[async_trait]
impl Leases for LocalLeases {
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(held) = state.held.get_mut(name).filter(|held| held.until > now) {
            if held.holder != holder {
                return Ok(None);
            }
            held.until = now + ttl;
            held.renewals += 1;
            return Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), epoch: held.epoch }));
        }
        if state.held.len() >= REMEMBERED {
            state.held.retain(|_, held| held.until > now);
        }
        state.epoch += 1;
        let epoch = state.epoch;
        state.held.insert(name.to_owned(), Entry { holder: holder.to_owned(), epoch, renewals: 0, until: now + ttl });
        Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), epoch }))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), Error> {
        match self.state.lock().held.get_mut(&lease.name) {
            Some(held) if held.epoch == lease.epoch => {
                held.until = Instant::now() + ttl;
                held.renewals += 1;
                Ok(())
            }
            _ => Err(Error::LeaseLost { name: lease.name.clone() }),
        }
    }

    async fn get(&self, name: &str) -> Result<Option<ObservedLease>, Error> {
        let state = self.state.lock();
        Ok(state.held.get(name).map(|held| ObservedLease {
            lease: Lease { name: name.to_owned(), holder: held.holder.clone(), epoch: held.epoch },
            version: held.renewals.to_string(),
        }))
    }

    async fn take_over(&self, seen: &ObservedLease, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        {
            let mut state = self.state.lock();
            let name = &seen.lease.name;
            let as_seen = |held: &Entry| held.epoch == seen.lease.epoch && held.renewals.to_string() == seen.version;
            if !state.held.get(name).is_some_and(as_seen) {
                return Ok(None);
            }
            state.held.remove(name);
        }
        self.acquire(&seen.lease.name, holder, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.held.get(&lease.name).is_some_and(|held| held.epoch == lease.epoch) {
            state.held.remove(&lease.name);
        }
        Ok(())
    }
}
