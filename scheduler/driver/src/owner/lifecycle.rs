//! Jobs from acceptance to their end: accepted, resumed, ended, dropped from memory.

use super::{JobsOwner, OperationResult, journaled_job::JournaledJob};
use crate::{
    clock::now_ms,
    job::{JobEnd, Meta, OpenJob, memory},
    journal::{JobRecord, JournalWriter},
};
use fabric_backend::registry::Precondition;
use fabric_scheduler_core::{Event, Time};
use fabric_types::id::{JobId, TenantId};

/// Jobs, and tasks of jobs, that stay in memory after their end for fast access. Older jobs are read from the journal.
const ENDED_JOBS: usize = 256;
const ENDED_TASKS: usize = 200_000;

impl JobsOwner {
    /// Adds a job that is already durable.
    pub(super) fn accept(&mut self, open_job: OpenJob) {
        if self.jobs.contains_key(open_job.id()) {
            return;
        }
        let event = Event::Submit(open_job.planned.meta.plan(self.now()));
        let hint = Event::SetLocalityHint {
            job: open_job.id().clone(),
            nodes: self.holders(&open_job.planned.meta.deployment.module),
        };
        self.insert(open_job, "accepted");
        self.metrics.jobs_accepted.inc();
        self.step([event, hint]);
        self.carry_out();
    }

    /// Resumes a job of an earlier driver.
    pub(crate) fn resume(&mut self, open_job: OpenJob) {
        let id = open_job.id().clone();
        let dead_letters = open_job.dead.values().map(|dead| open_job.dead_letter(dead));
        self.dead_letters.extend(dead_letters.map(|letter| (open_job.planned.meta.tenant.clone(), letter)));
        if let Some(ended) = &open_job.ended {
            // Its listeners may have been waiting since before its journal was read again.
            open_job.publish(ended.state.as_str(), None, ended.at_ms);
            self.retire(&open_job.planned.meta.tenant, &id);
            self.insert(open_job, "");
            self.flush_now = true;
            self.keep_ended(&id);
            return;
        }
        let cancel = open_job.cancel_requested;
        let accepted = Time(open_job.planned.meta.created_ms.saturating_mul(1000));
        let event = Event::Restore { plan: open_job.planned.meta.plan(accepted), tasks: open_job.restored() };
        self.insert(open_job, "resumed");
        if self.epoch > 0
            && let Some(slot) = self.jobs.get_mut(&id)
        {
            slot.note(&JobRecord::Owned(self.epoch));
            self.append(&id);
        }
        let deaths = self.deaths_of(&id);
        self.step([event].into_iter().chain(deaths));
        if cancel {
            self.step([Event::Cancel { job: id }]);
        }
    }

    fn insert(&mut self, open_job: OpenJob, kind: &str) {
        let id = open_job.id().clone();
        if !kind.is_empty() {
            open_job.publish(kind, None, now_ms());
            self.metrics.jobs_active.inc();
        }
        self.dirty.insert(id.clone());
        let place = open_job
            .ended
            .is_none()
            .then(|| self.parts.room.take_accepted(&open_job.planned.meta.tenant, memory::charge(&open_job.planned)));
        self.jobs.insert(
            id,
            JournaledJob { job: open_job, writer: JournalWriter::default(), ending: None, sources: None, place },
        );
    }

    /// Starts to end a job. The end is visible to others once it is in the journal.
    pub(super) fn end(&mut self, job: &JobId, ended: JobEnd) {
        if let Some(slot) = self.jobs.get_mut(job)
            && slot.ending.is_none()
            && slot.job.ended.is_none()
        {
            slot.note(&JobRecord::Ended(ended.clone()));
            slot.ending = Some(ended);
            self.append(job);
        }
    }

    pub(super) fn has_ended(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.sources = None;
        slot.place = None;
        let meta = slot.job.planned.meta.clone();
        slot.job.publish(slot.job.state().as_str(), None, now_ms());
        self.metrics.jobs_active.dec();
        self.dirty.insert(job.clone());
        self.flush_now = true;
        self.retire(&meta.tenant, job);
        self.keep_ended(job);
    }

    fn retire(&self, tenant: &TenantId, job: &JobId) {
        let (registry, key) = (self.parts.backend.registry.clone(), Meta::active_key(tenant, job));
        self.pending_ops.push(Box::pin(async move {
            if let Err(error) = registry.delete(&key, Precondition::Any).await {
                // The next start finds the ended job and removes the key.
                tracing::warn!(key, %error, "removing an ended job from the active ones failed");
            }
            OperationResult::Retired
        }));
    }

    /// Drops an ended job that is about to be removed.
    pub(super) fn drop_ended(&mut self, tenant: &TenantId, job: &JobId) {
        let ended = |slot: &JournaledJob| slot.job.ended.is_some() && slot.job.planned.meta.tenant == *tenant;
        if self.jobs.get(job).is_some_and(ended) {
            self.dirty.remove(job);
            self.jobs.remove(job);
        }
    }

    fn keep_ended(&mut self, job: &JobId) {
        let tasks = |slot: &JournaledJob| slot.job.stages.iter().map(|s| s.tasks.len()).sum::<usize>();
        let count = self.jobs.get(job).map_or(0, tasks);
        self.ended.push_back((job.clone(), count));
        self.ended_tasks += count;
        while self.ended.len() > ENDED_JOBS || (self.ended_tasks > ENDED_TASKS && self.ended.len() > 1) {
            let Some((oldest, count)) = self.ended.pop_front() else { break };
            self.ended_tasks = self.ended_tasks.saturating_sub(count);
            // A job that the index does not have yet must stay until the next flush.
            if self.dirty.contains(&oldest) {
                self.ended.push_back((oldest, count));
                self.ended_tasks += count;
                break;
            }
            self.jobs.remove(&oldest);
        }
    }
}
