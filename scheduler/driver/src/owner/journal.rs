//! Appends to the jobs' journals. [`JobsOwner::appended`] handles failed appends.

use super::{JobsOwner, OperationResult, RETRY_DELAY};
use crate::{
    job::{Meta, OpenJob},
    journal::recovery,
};
use bytes::Bytes;
use fabric_backend::{Error, maintenance::ROW_BYTES};
use fabric_scheduler_core::Event;
use fabric_types::{Fault, id::JobId, storage::StorageKind};
use std::time::Duration;

impl JobsOwner {
    /// Appends the pending records of a job, one at a time. Records that arrive meanwhile form the next, larger append.
    pub(super) fn append(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        let Some(records) = slot.writer.begin() else { return };
        let (meta, len, journal) =
            (slot.job.planned.meta.clone(), slot.job.journal_len, self.parts.backend.journal.clone());
        self.pending_ops.push(Box::pin(async move {
            let stream = Meta::stream(&meta.tenant, &meta.id);
            let written = journal.append(&stream, len, records.clone()).await;
            OperationResult::Appended(meta.id.clone(), records, written)
        }));
    }

    /// Handles the result of an append. Unknown outcome: retries the identical append. Length conflict: re-reads the
    /// stream, because a late append of an earlier owner, an own append whose answer was lost, or the first append of the
    /// next owner came first.
    pub(super) fn appended(&mut self, job: &JobId, records: Vec<Bytes>, written: Result<u64, Error>) {
        match written {
            Ok(len) => {
                let Some(slot) = self.jobs.get_mut(job) else { return };
                let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
                // The events of an accepted job are always recorded, so the storage limit is not checked here.
                self.parts.store.accounts().add(&slot.job.planned.meta.tenant, StorageKind::Jobs, bytes);
                slot.writer.resume();
                slot.job.journal_len = len;
                if slot.writer.has_unwritten() {
                    self.append(job);
                } else if let Some(ended) = slot.ending.take() {
                    slot.job.ended = Some(ended);
                    self.has_ended(job);
                }
            }
            Err(Error::Conflict { .. }) => self.reload_journal(job, Duration::ZERO),
            Err(error) => {
                tracing::error!(job_id = %job, %error, "journal append failed, retrying");
                let Some(slot) = self.jobs.get_mut(job) else { return };
                slot.writer.unresolved(records);
                let job = job.clone();
                self.pending_ops.push(Box::pin(async move {
                    tokio::time::sleep(RETRY_DELAY).await;
                    OperationResult::RetryAppend(job)
                }));
            }
        }
    }

    /// Retries an append.
    pub(super) fn retry_append(&mut self, job: &JobId) {
        if let Some(slot) = self.jobs.get_mut(job) {
            slot.writer.resume();
            self.append(job);
        }
    }

    /// Reads a job's journal again, and suspends appends to it until that is done.
    fn reload_journal(&mut self, job: &JobId, after: Duration) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.writer.suspend();
        let (meta, backend) = (slot.job.planned.meta.clone(), self.parts.backend.clone());
        self.pending_ops.push(Box::pin(async move {
            tokio::time::sleep(after).await;
            let found = recovery::load(&backend, &meta.tenant, &meta.id).await;
            OperationResult::Read(meta.id.clone(), found.map(|open_job| open_job.map(Box::new)))
        }));
    }

    /// Continues a job from the state in its journal. Events that were not written yet happen again.
    fn resume_from_journal(&mut self, mut open_job: OpenJob) {
        let id = open_job.id().clone();
        let Some(before) = self.jobs.remove(&id) else { return };
        open_job.events = before.job.events;
        self.metrics.jobs_active.dec();
        self.step([Event::DropJob { job: id.clone() }]);
        self.resume(open_job);
        if before.job.cancel_requested
            && let Some(slot) = self.jobs.get_mut(&id)
        {
            slot.request_cancel();
            self.step([Event::Cancel { job: id.clone() }]);
            self.append(&id);
        }
    }

    /// Handles a job's journal after it was read again.
    pub(super) fn read(&mut self, job: JobId, found: Result<Option<Box<OpenJob>>, Fault>) {
        match found {
            Ok(Some(open_job)) if open_job.epoch <= self.epoch => {
                tracing::info!(job_id = %job, "journal was longer than expected, job resumed from it");
                self.resume_from_journal(*open_job);
            }
            Ok(_) => {
                tracing::warn!(job_id = %job, "another owner took over the job");
                if self.jobs.remove(&job).is_some() {
                    self.metrics.jobs_active.dec();
                }
                self.step([Event::DropJob { job }]);
            }
            Err(error) => {
                tracing::error!(job_id = %job, %error, "journal read failed, retrying");
                self.reload_journal(&job, RETRY_DELAY);
            }
        }
    }
}
