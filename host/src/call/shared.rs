//! The state that a call's store shares with its streams, its host calls and its caller.

use crate::{
    logs::{LogSink, Logs},
    output::Output,
};
use fabric_types::{
    Cost,
    id::TenantId,
    limits::Limits,
    memory::{Charge, MemoryAccount},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The shared state of one call. It outlives the store.
pub(crate) struct CallShared {
    pub(crate) output: Mutex<Output>,
    pub(crate) logs: Mutex<Logs>,
    /// The last place that the guest named; empty if it named none.
    pub(crate) place: Mutex<String>,
    pub(crate) bytes_in: AtomicU64,
    /// Fuel spent. Valid after the store is dropped.
    pub(crate) fuel: AtomicU64,
    /// GPU device time in microseconds. Valid after the store is dropped.
    pub(crate) gpu_us: Arc<AtomicU64>,
    /// `true` if the guest failed. Set before the store is dropped.
    pub(crate) failed: AtomicBool,
    /// Charge for the memories and tables of the instance.
    pub(crate) memory: Arc<Charge>,
}

impl CallShared {
    /// Creates the state of a call whose output and memory are charged to `tenant`.
    pub(crate) fn new(
        account: &MemoryAccount,
        tenant: &TenantId,
        limits: &Limits,
        output: Output,
        logs: Option<Arc<dyn LogSink>>,
    ) -> Arc<Self> {
        let payer = account.tenant(tenant);
        Arc::new(Self {
            output: Mutex::new(output.charged_to(&payer)),
            memory: Arc::new(Charge::none(&payer)),
            logs: Mutex::new(Logs::new(logs, limits.log_bytes.0)),
            place: Mutex::default(),
            bytes_in: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            gpu_us: Arc::default(),
            failed: AtomicBool::new(false),
        })
    }

    /// Returns the cost of the call without its output. Valid after the store is dropped.
    pub(crate) fn cost(&self, wall_us: u64) -> Cost {
        Cost {
            fuel: self.fuel.load(Ordering::Acquire),
            wall_us,
            gpu_us: self.gpu_us.load(Ordering::Acquire),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: 0,
        }
    }

    /// Passes incomplete log lines to the sink. Returns the number of bytes logged.
    pub(crate) fn flush_logs(&self) -> u64 {
        let mut logs = self.logs.lock();
        logs.flush();
        logs.used()
    }
}
