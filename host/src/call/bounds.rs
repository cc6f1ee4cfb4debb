//! Bounds on the run time of a call: its deadline and its cancellation.

use crate::{
    fault::{self, WorkUnit},
    state::State,
};
use fabric_types::{Fault, limits::Limits};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::{StoreContextMut, UpdateDeadline};

/// The bounds of one call.
#[derive(Debug, Clone)]
pub(crate) struct CallBounds {
    pub(crate) deadline: Instant,
    pub(crate) deadline_ms: u64,
    pub(crate) cancel: CancellationToken,
    pub(crate) unit: WorkUnit,
}

/// The end of a call.
pub(crate) enum CallEnd<T> {
    /// The guest returned.
    Returned(T),
    /// The call was ended from outside, and the guest is dropped.
    Terminated(Fault),
}

/// Deadline of a call whose own one is beyond the range of the clock.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365);

impl CallBounds {
    /// Returns the bounds of a call that starts now.
    pub(crate) fn new(limits: &Limits, unit: WorkUnit, deadline: Option<Instant>, cancel: CancellationToken) -> Self {
        let now = Instant::now();
        let own = now.checked_add(Duration::from_millis(limits.deadline_ms)).unwrap_or_else(|| now + FAR_FUTURE);
        let deadline = deadline.map_or(own, |d| d.min(own));
        Self { deadline, deadline_ms: limits.deadline_ms, cancel, unit }
    }

    /// Runs a guest, and terminates it at the deadline or on cancellation even while it waits in a host call.
    pub(crate) async fn run<F: Future>(&self, guest: F) -> CallEnd<F::Output> {
        tokio::select! {
            // The guest first: most calls end at the first poll, and then no timer is registered.
            biased;
            out = guest => CallEnd::Returned(out),
            () = self.cancel.cancelled() => CallEnd::Terminated(fault::cancelled()),
            () = tokio::time::sleep_until(self.deadline) => CallEnd::Terminated(fault::deadline(self.deadline_ms, self.unit)),
        }
    }
}

/// Handles an epoch change in a guest: checks the call's bounds, then yields to other tasks on the thread.
pub(super) fn on_epoch(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let bounds = &store.data().bounds;
    if bounds.cancel.is_cancelled() {
        return Err(fault::FaultError::error(fault::cancelled()));
    }
    if Instant::now() >= bounds.deadline {
        return Err(fault::FaultError::error(fault::deadline(bounds.deadline_ms, bounds.unit)));
    }
    Ok(UpdateDeadline::Yield(1))
}
