//! The dependencies and settings of a driver.

use crate::job::memory::OpenJobsAccount;
use fabric_backend::Backend;
use fabric_index::Index;
use fabric_results::ResultStore;
use fabric_store::Store;
use fabric_types::{EngineClass, units::ByteSize};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// Default of the maximum number of map tasks of a job.
pub const DEFAULT_MAX_TASKS: u32 = 1_000_000;

/// Largest maximum that an operator may configure.
pub const MAX_CONFIGURABLE_TASKS: u32 = 10_000_000;

/// Returns the fingerprint of the engine of a class.
pub type Fingerprint = Arc<dyn Fn(EngineClass) -> String + Send + Sync>;

/// The dependencies and settings of a driver.
pub struct Options {
    /// Backends.
    pub backend: Backend,
    /// Object store.
    pub store: Store,
    /// Result store.
    pub results: ResultStore,
    /// Index for lists.
    pub index: Index,
    /// Engine fingerprint for task keys.
    pub fingerprint: Fingerprint,
    /// Settings of the scheduler's core.
    pub config: fabric_scheduler_core::Config,
    /// Maximum map tasks of a job. Default [`DEFAULT_MAX_TASKS`].
    pub max_tasks: u32,
    /// Memory for jobs that have not ended. A tenant may use half of it. Default [`DEFAULT_OPEN_JOBS`](crate::DEFAULT_OPEN_JOBS).
    pub open_jobs: ByteSize,
    /// Epoch of the lease under which this process owns the jobs of a fleet; `None` for a single process. In a fleet,
    /// other owners may have changed jobs since the index was written, and the processes report about their guests
    /// through the journal.
    pub epoch: Option<u64>,
    /// Retention periods.
    pub retention: Retention,
}

/// The retention periods of the server.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Period for jobs and asynchronous invocations after their end. Default 30 days.
    pub jobs: Duration,
    /// Period for results after their last use. Default 30 days.
    pub results: Duration,
    /// Interval between sweeps. Default 10 minutes.
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Duration::from_secs(30 * 86_400);
        Self { jobs: month, results: month, every: Duration::from_secs(600) }
    }
}

/// The parts that the driver shares with the tasks that it spawns.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) index: Index,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) config: fabric_scheduler_core::Config,
    pub(crate) max_tasks: u32,
    pub(crate) room: OpenJobsAccount,
    pub(crate) tracker: TaskTracker,
    /// Held while an ended job is changed.
    pub(crate) ended_jobs_lock: Arc<Mutex<()>>,
    /// Retention periods.
    pub(crate) retention: Retention,
    /// Held during a retention sweep.
    pub(crate) sweep_lock: Arc<Mutex<()>>,
}
