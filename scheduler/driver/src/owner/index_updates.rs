//! Updates of the index and of the event listeners.

use super::JobsOwner;
use crate::{
    clock::now_ms,
    job::{JobKind, invocation},
};
use fabric_types::{job::JobState, rest::job::Job};

impl JobsOwner {
    /// Updates the index and the listeners.
    pub(super) async fn flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let stats = self.core.stats();
        // The core counts, and the metrics follow.
        self.metrics.speculated.inc_by(stats.speculated.saturating_sub(self.metrics.speculated.get()));
        self.metrics.preempted.inc_by(stats.preempted.saturating_sub(self.metrics.preempted.get()));
        let mut jobs = Vec::new();
        let mut invocations = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            let Some(slot) = self.jobs.get(id) else { continue };
            let core = self.core.job(id);
            let meta = &slot.job.planned.meta;
            if slot.job.state() == JobState::Running {
                slot.job.publish("progress", core.as_ref(), now_ms());
            }
            if matches!(meta.kind, JobKind::Invoke { .. }) {
                invocations.push((meta.tenant.clone(), invocation::view(&slot.job)));
            } else {
                // The reason for waiting holds only at this moment, and lists would show it long afterwards.
                let job = Job { waiting: None, ..slot.job.view(core.as_ref(), now_ms()) };
                jobs.push((meta.tenant.clone(), job));
            }
        }
        let dead_letters = std::mem::take(&mut self.dead_letters);
        let index = &self.parts.index;
        let dead = if dead_letters.is_empty() { Ok(()) } else { index.put_dead_letters(dead_letters.clone()).await };
        let listed = index.put_jobs(jobs).await.and(index.put_invocations(invocations).await);
        let failed = dead.as_ref().err().or(listed.as_ref().err());
        if let Some(error) = failed
            && !self.index_lags
        {
            tracing::error!(%error, "index write failed, lists lag until it succeeds");
        }
        self.index_lags = failed.is_some();
        // Nothing is lost: failed writes are retried at the next flush.
        if dead.is_err() {
            self.dead_letters = dead_letters;
        }
        if listed.is_err() {
            self.dirty.extend(dirty);
        }
    }
}
