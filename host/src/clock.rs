//! Clocks for guests. A guest without the `clocks` grant gets a virtual clock: it starts at 2000-01-01T00:00:00Z and
//! advances one microsecond with each read, so that the same call reads the same times.
//!
//! A sleep takes real time with either clock, so that deadlines apply to it. When a sleep ends, the virtual clock
//! advances to the end of the requested duration. Results depend only on the virtual clock.

use crate::state::State;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wasmtime::component::Resource;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, async_trait,
    clocks::WasiClocksView,
    p2::{DynPollable, Pollable, bindings::clocks::monotonic_clock, subscribe},
};

/// 2000-01-01T00:00:00Z in seconds since 1970-01-01T00:00:00Z.
const START_SECONDS: u64 = 946_684_800;
const LOOK_NANOS: u64 = 1_000;

/// A clock that counts nanoseconds since its virtual start. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    fn look(&self) -> u64 {
        self.0.fetch_add(LOOK_NANOS, Ordering::Relaxed)
    }

    fn reach(&self, nanos: u64) {
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl HostWallClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(LOOK_NANOS)
    }
    fn now(&self) -> Duration {
        Duration::from_secs(START_SECONDS) + Duration::from_nanos(self.look())
    }
}

impl HostMonotonicClock for VirtualClock {
    fn resolution(&self) -> u64 {
        LOOK_NANOS
    }
    fn now(&self) -> u64 {
        self.look()
    }
}

/// A sleep that advances the virtual clock when it ends.
struct VirtualSleep {
    until: Option<tokio::time::Instant>,
    reaches: u64,
    clock: VirtualClock,
}

#[async_trait]
impl Pollable for VirtualSleep {
    async fn ready(&mut self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            // The end is too far away for an `Instant`: the call's deadline ends the wait.
            None => std::future::pending().await,
        }
        self.clock.reach(self.reaches);
    }
}

impl State {
    fn virtual_sleep(&mut self, nanos: u64, now: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = self.clock.clone();
        let until = tokio::time::Instant::now().checked_add(Duration::from_nanos(nanos));
        let sleep = self.table.push(VirtualSleep { until, reaches: now.saturating_add(nanos), clock })?;
        subscribe(&mut self.table, sleep)
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        if self.real_clocks() { monotonic_clock::Host::now(&mut self.clocks()) } else { Ok(self.clock.look()) }
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        if self.real_clocks() { monotonic_clock::Host::resolution(&mut self.clocks()) } else { Ok(LOOK_NANOS) }
    }

    fn subscribe_instant(&mut self, when: monotonic_clock::Instant) -> wasmtime::Result<Resource<DynPollable>> {
        if self.real_clocks() {
            return monotonic_clock::Host::subscribe_instant(&mut self.clocks(), when);
        }
        let now = self.clock.look();
        self.virtual_sleep(when.saturating_sub(now), now)
    }

    fn subscribe_duration(&mut self, nanos: monotonic_clock::Duration) -> wasmtime::Result<Resource<DynPollable>> {
        if self.real_clocks() {
            return monotonic_clock::Host::subscribe_duration(&mut self.clocks(), nanos);
        }
        let now = self.clock.look();
        self.virtual_sleep(nanos, now)
    }
}
