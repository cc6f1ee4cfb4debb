//! The attempts that this node received and has not reported, which heartbeats list.

use fabric_backend::lane::HeldAttempt;
use fabric_types::{id::JobId, job::TaskId, work::Batch};
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The set of attempts.
#[derive(Debug, Default)]
pub(crate) struct HeldAttempts(Mutex<HashSet<HeldAttempt>>);

impl HeldAttempts {
    fn set(&self) -> MutexGuard<'_, HashSet<HeldAttempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the attempts of a batch.
    pub(crate) fn take(&self, batch: &Batch) {
        self.set().extend(batch.tasks.iter().map(|t| (batch.job.clone(), t.task, t.attempt)));
    }

    /// Removes attempts that were reported or stopped. If a report was lost, the scheduler detects their absence from
    /// the next heartbeat.
    pub(crate) fn ended(&self, job: &JobId, attempts: impl IntoIterator<Item = (TaskId, u32)>) {
        let mut set = self.set();
        for (task, attempt) in attempts {
            set.remove(&(job.clone(), task, attempt));
        }
    }

    /// Returns all attempts.
    pub(crate) fn list(&self) -> Vec<HeldAttempt> {
        self.set().iter().cloned().collect()
    }

    /// Returns the number of attempts.
    pub(crate) fn len(&self) -> usize {
        self.set().len()
    }
}
