//! Ends a call: frees its resources, reads its cost and converts its outcome.

use crate::{
    call::{CallEnd, CallShared, OpenCall, micros},
    fault,
};
use fabric_types::{Cost, Fault};
use std::sync::atomic::Ordering;

/// The outcome of a call.
pub(crate) struct CallReport<T> {
    /// The fault has the fuel spent.
    pub(crate) result: Result<T, Fault>,
    /// Cost without the output.
    pub(crate) cost: Cost,
    /// Bytes logged.
    pub(crate) log_bytes: u64,
}

impl OpenCall {
    /// Ends the call. `read` reads the result of a guest that returned without an error.
    pub(crate) fn finish<T, R>(
        self,
        end: CallEnd<wasmtime::Result<T>>,
        read: impl FnOnce(&CallShared, T) -> Result<R, Fault>,
    ) -> CallReport<R> {
        let Self { store, slot, bounds, shared, prepared, observer, kind, start, .. } = self;
        if !matches!(end, CallEnd::Returned(Ok(_))) {
            // Set before the store is dropped, since that closes the guest's end of a response body.
            shared.failed.store(true, Ordering::Release);
        }
        let wall_us = micros(start);
        drop(store);
        drop(slot);
        let cost = shared.cost(wall_us);
        let log_bytes = shared.flush_logs();
        let result = match end {
            CallEnd::Returned(Ok(value)) => read(&shared, value),
            CallEnd::Returned(Err(error)) => {
                let output = shared.logs.lock().failure_output();
                Err(fault::classify(&error, bounds.unit, output, &prepared.symbols))
            }
            CallEnd::Terminated(fault) => Err(fault),
        };
        if let Some(observer) = &observer {
            observer.called(kind, cost.wall_us, cost.fuel, result.is_ok());
            observer.used_gpu(cost.gpu_us);
        }
        let result = result.map_err(|fault| at_place(fault, &shared.place.lock()).with_fuel(cost.fuel));
        CallReport { result, cost, log_bytes }
    }
}

/// Adds the last place that the guest named to its fault.
fn at_place(mut fault: Fault, place: &str) -> Fault {
    if !place.is_empty() {
        fault.message = format!("{}; the last place: {place}", fault.message);
    }
    fault
}
