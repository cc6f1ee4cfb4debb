//! What this node has of what it was given. The owner of the jobs is told every few seconds, and so finds batches that were
//! lost on their way here, and reports that were lost on their way back: a heartbeat alone would keep both alive for ever.

use fabric_types::{
    id::JobId,
    job::TaskId,
    work::{Batch, Outcome},
};
use parking_lot::Mutex;
use std::collections::HashSet;

/// Attempts that were taken and not reported yet. Bounded as the lane is: by what the owner gives one node.
#[derive(Default)]
pub struct Held(Mutex<HashSet<(JobId, TaskId, u32)>>);

impl Held {
    /// A batch was taken.
    pub fn took(&self, batch: &Batch) {
        let attempts = batch.tasks.iter().map(|t| (batch.job.clone(), t.task, t.attempt));
        self.0.lock().extend(attempts);
    }

    /// An attempt was stopped: nobody waits for its outcome.
    pub fn stopped(&self, job: &JobId, task: TaskId, attempt: u32) {
        self.0.lock().remove(&(job.clone(), task, attempt));
    }

    /// Outcomes were reported, or their report was lost. What was lost is not held any more: that is how it is found.
    pub fn reported(&self, job: &JobId, outcomes: &[(TaskId, u32)]) {
        let mut held = self.0.lock();
        for &(task, attempt) in outcomes {
            held.remove(&(job.clone(), task, attempt));
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<(JobId, TaskId, u32)> {
        self.0.lock().iter().cloned().collect()
    }
}

/// What [`Held::reported`] takes.
pub fn attempts(outcomes: &[Outcome]) -> Vec<(TaskId, u32)> {
    outcomes.iter().map(|outcome| (outcome.task, outcome.attempt)).collect()
}
