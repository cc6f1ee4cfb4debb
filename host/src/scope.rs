//! Bounds on the run time of a call: its deadline and its cancellation.

use crate::{
    fault::{self, Unit},
    state::State,
};
use fabric_types::Fault;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::{StoreContextMut, UpdateDeadline};

/// The bounds of one call.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) deadline: Instant,
    pub(crate) deadline_ms: u64,
    pub(crate) cancel: CancellationToken,
    pub(crate) unit: Unit,
}

/// The end of a call.
pub(crate) enum Ended<T> {
    /// The guest returned.
    Returned(T),
    /// The call was ended from outside, and the guest is dropped.
    GivenUp(Fault),
}

impl Scope {
    /// Runs a guest, and terminates it at the deadline or on cancellation even while it waits in a host call.
    pub(crate) async fn bound<F: Future>(&self, guest: F) -> Ended<F::Output> {
        tokio::select! {
            // The guest first: most calls end at the first poll, and then no timer is registered.
            biased;
            out = guest => Ended::Returned(out),
            () = self.cancel.cancelled() => Ended::GivenUp(fault::cancelled()),
            () = tokio::time::sleep_until(self.deadline) => Ended::GivenUp(fault::deadline(self.deadline_ms, self.unit)),
        }
    }
}

/// Handles an epoch change in a guest: checks the call's bounds, then yields to other tasks on the thread.
pub(crate) fn on_epoch(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let scope = &store.data().scope;
    if scope.cancel.is_cancelled() {
        return Err(fault::Stop::error(fault::cancelled()));
    }
    if Instant::now() >= scope.deadline {
        return Err(fault::Stop::error(fault::deadline(scope.deadline_ms, scope.unit)));
    }
    Ok(UpdateDeadline::Yield(1))
}
