//! How long a call may go on: until its deadline, its cancellation, or the end of its caller's patience.

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

/// Why a call was given up from outside.
pub(crate) enum Ended<T> {
    /// It ended by itself.
    Returned(T),
    /// It was given up; the guest is gone.
    GivenUp(Fault),
}

impl Scope {
    /// Runs a guest, giving it up at the deadline or on cancellation even while it waits in a host call.
    pub(crate) async fn bound<F: Future>(&self, guest: F) -> Ended<F::Output> {
        tokio::select! {
            // The guest first: most calls end at the first poll, and then no timer is ever registered.
            biased;
            out = guest => Ended::Returned(out),
            () = self.cancel.cancelled() => Ended::GivenUp(fault::cancelled()),
            () = tokio::time::sleep_until(self.deadline) => Ended::GivenUp(fault::deadline(self.deadline_ms, self.unit)),
        }
    }
}

/// What a guest meets when the epoch has moved: its bounds, then a yield to whatever shares the thread.
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
