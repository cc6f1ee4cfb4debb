//! Writing a job's journal, and what to do when it can't be written: see [`Owner::appended`].

use crate::{
    live::Live,
    meta::Meta,
    owner::{Finished, Owner, WRITE_AGAIN},
    recover,
};
use bytes::Bytes;
use fabric_engine::{Error, upkeep::ROW_BYTES};
use fabric_scheduler_core::Event;
use fabric_types::{Fault, id::JobId, storage::StorageKind};
use std::time::Duration;

impl Owner {
    /// Writes what is pending for a job, one append at a time: what comes meanwhile makes the next, larger one.
    pub fn append(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        if slot.writing || !slot.has_unwritten() {
            return;
        }
        slot.writing = true;
        let again = !slot.unsure.is_empty();
        let records = std::mem::take(if again { &mut slot.unsure } else { &mut slot.pending });
        let (meta, len, journal) =
            (slot.live.planned.meta.clone(), slot.live.journal_len, self.parts.engine.journal.clone());
        self.doing.push(Box::pin(async move {
            let stream = Meta::stream(&meta.tenant, &meta.id);
            let written = journal.append(&stream, len, records.clone()).await;
            Finished::Appended(meta.id.clone(), records, written)
        }));
    }

    /// Takes word of an append. One whose fate is unknown is done again, the very same. One that found another length than
    /// this owner left was beaten by an earlier owner's late word, or by the next owner's first: the journal says which.
    pub(crate) fn appended(&mut self, job: &JobId, records: Vec<Bytes>, written: Result<u64, Error>) {
        match written {
            Ok(len) => {
                let Some(slot) = self.jobs.get_mut(job) else { return };
                let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
                // What happened to a job that was accepted is always written down.
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
                tracing::error!(job_id = %job, %error, "the journal can't be written; trying again");
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

    /// Tries an append again.
    pub(crate) fn append_again(&mut self, job: &JobId) {
        if let Some(slot) = self.jobs.get_mut(job) {
            slot.writing = false;
            self.append(job);
        }
    }

    /// Reads a job's journal, and writes nothing more to it until that is done.
    fn read_again(&mut self, job: &JobId, after: Duration) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.writing = true;
        let (meta, engine) = (slot.live.planned.meta.clone(), self.parts.engine.clone());
        self.doing.push(Box::pin(async move {
            tokio::time::sleep(after).await;
            let found = recover::load(&engine, &meta.tenant, &meta.id).await;
            Finished::Read(meta.id.clone(), found.map(|live| live.map(Box::new)))
        }));
    }

    /// Goes on with a job as the journal has it. What was not written yet happens again.
    fn take_up_again(&mut self, mut live: Live) {
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

    /// Takes what a job's journal says.
    pub(crate) fn read(&mut self, job: JobId, found: Result<Option<Box<Live>>, Fault>) {
        match found {
            Ok(Some(live)) if live.epoch <= self.epoch => {
                tracing::info!(job_id = %job, "an earlier owner had something left to write; the job is taken up again");
                self.take_up_again(*live);
            }
            Ok(_) => {
                tracing::warn!(job_id = %job, "another owner has taken the job over");
                if self.jobs.remove(&job).is_some() {
                    self.metrics.jobs_active.dec();
                }
                self.step([Event::Forget { job }]);
            }
            Err(error) => {
                tracing::error!(job_id = %job, %error, "the journal can't be read; trying again");
                self.read_again(&job, WRITE_AGAIN);
            }
        }
    }
}
