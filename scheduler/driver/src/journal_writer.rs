//! Appends to the jobs' journals. [`JobsOwner::appended`] handles failed appends.

use crate::{
    job_state::OpenJob,
    meta::Meta,
    owner::{Finished, JobsOwner, WRITE_AGAIN},
    recover,
};
use bytes::Bytes;
use fabric_backend::{Error, maintenance::ROW_BYTES};
use fabric_scheduler_core::Event;
use fabric_types::{Fault, id::JobId, storage::StorageKind};
use std::time::Duration;

impl JobsOwner {
    /// Appends the pending records of a job, one at a time. Records that arrive meanwhile form the next, larger append.
    pub fn append(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        if slot.writing || !slot.has_unwritten() {
            return;
        }
        slot.writing = true;
        let again = !slot.unsure.is_empty();
        let records = std::mem::take(if again { &mut slot.unsure } else { &mut slot.pending });
        let (meta, len, journal) =
            (slot.live.planned.meta.clone(), slot.live.journal_len, self.parts.backend.journal.clone());
        self.doing.push(Box::pin(async move {
            let stream = Meta::stream(&meta.tenant, &meta.id);
            let written = journal.append(&stream, len, records.clone()).await;
            Finished::Appended(meta.id.clone(), records, written)
        }));
    }

    /// Handles the result of an append. Unknown outcome: retries the identical append. Length conflict: re-reads the
    /// stream, because either a late append of an earlier owner or the first append of the next owner came first.
    pub(crate) fn appended(&mut self, job: &JobId, records: Vec<Bytes>, written: Result<u64, Error>) {
        match written {
            Ok(len) => {
                let Some(slot) = self.jobs.get_mut(job) else { return };
                let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
                // The events of an accepted job are always recorded, so the storage limit is not checked here.
                self.parts.store.accounts().add(&slot.live.planned.meta.tenant, StorageKind::Jobs, bytes);
                slot.writing = false;
                slot.live.journal_len = len;
                if slot.has_unwritten() {
                    self.append(job);
                } else if let Some(ended) = slot.ending.take() {
                    slot.live.ended = Some(ended);
                    self.has_ended(job);
                }
            }
            Err(Error::Conflict { .. }) => self.read_again(job, Duration::ZERO),
            Err(error) => {
                tracing::error!(job_id = %job, %error, "journal append failed, retrying");
                let Some(slot) = self.jobs.get_mut(job) else { return };
                slot.unsure = records;
                let job = job.clone();
                self.doing.push(Box::pin(async move {
                    tokio::time::sleep(WRITE_AGAIN).await;
                    Finished::Again(job)
                }));
            }
        }
    }

    /// Retries an append.
    pub(crate) fn append_again(&mut self, job: &JobId) {
        if let Some(slot) = self.jobs.get_mut(job) {
            slot.writing = false;
            self.append(job);
        }
    }

    /// Reads a job's journal again, and suspends appends to it until that is done.
    fn read_again(&mut self, job: &JobId, after: Duration) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.writing = true;
        let (meta, backend) = (slot.live.planned.meta.clone(), self.parts.backend.clone());
        self.doing.push(Box::pin(async move {
            tokio::time::sleep(after).await;
            let found = recover::load(&backend, &meta.tenant, &meta.id).await;
            Finished::Read(meta.id.clone(), found.map(|live| live.map(Box::new)))
        }));
    }

    /// Continues a job from the state in its journal. Events that were not written yet happen again.
    fn take_up_again(&mut self, mut live: OpenJob) {
        let id = live.id().clone();
        let Some(before) = self.jobs.remove(&id) else { return };
        live.events = before.live.events;
        self.metrics.jobs_active.dec();
        self.step([Event::Forget { job: id.clone() }]);
        self.resume(live);
        if before.live.cancel_asked
            && let Some(slot) = self.jobs.get_mut(&id)
        {
            slot.cancel_asked();
            self.step([Event::Cancel { job: id.clone() }]);
            self.append(&id);
        }
    }

    /// Handles a job's journal after it was read again.
    pub(crate) fn read(&mut self, job: JobId, found: Result<Option<Box<OpenJob>>, Fault>) {
        match found {
            Ok(Some(live)) if live.epoch <= self.epoch => {
                tracing::info!(job_id = %job, "late append by an earlier owner, job resumed");
                self.take_up_again(*live);
            }
            Ok(_) => {
                tracing::warn!(job_id = %job, "another owner took over the job");
                if self.jobs.remove(&job).is_some() {
                    self.metrics.jobs_active.dec();
                }
                self.step([Event::Forget { job }]);
            }
            Err(error) => {
                tracing::error!(job_id = %job, %error, "journal read failed, retrying");
                self.read_again(&job, WRITE_AGAIN);
            }
        }
    }
}
