//! The attempts that this node was given and has not reported: what a heartbeat names.

use fabric_engine::lane::Held;
use fabric_types::{id::JobId, job::TaskId, work::Batch};
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The set.
#[derive(Debug, Default)]
pub(crate) struct Holding(Mutex<HashSet<Held>>);

impl Holding {
    fn set(&self) -> MutexGuard<'_, HashSet<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch came.
    pub(crate) fn take(&self, batch: &Batch) {
        self.set().extend(batch.tasks.iter().map(|t| (batch.job.clone(), t.task, t.attempt)));
    }

    /// These were reported, or were stopped, or their report is lost: then it is their absence that says so.
    pub(crate) fn ended(&self, job: &JobId, attempts: impl IntoIterator<Item = (TaskId, u32)>) {
        let mut set = self.set();
        for (task, attempt) in attempts {
            set.remove(&(job.clone(), task, attempt));
        }
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Held> {
        self.set().iter().cloned().collect()
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.set().len()
    }
}
