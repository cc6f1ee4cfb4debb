//! A job in the owner, with its pending writes.

use crate::{
    job::{JobEnd, OpenJob, memory::Place},
    journal::{JobRecord, JournalWriter},
};
use fabric_types::work::OutputRef;
use std::sync::Arc;

/// A job and its pending writes.
pub(super) struct JournaledJob {
    pub(super) job: OpenJob,
    pub(super) writer: JournalWriter,
    /// End that takes effect when it is in the journal.
    pub(super) ending: Option<JobEnd>,
    /// Results of the map stage, as inputs of a keyed reduce.
    pub(super) sources: Option<Arc<[OutputRef]>>,
    /// Memory charge of the job until it ends.
    pub(super) place: Option<Place>,
}

impl JournaledJob {
    /// Adds a record to the pending ones.
    pub(super) fn note(&mut self, record: &JobRecord) {
        if let Err(error) = self.writer.push(record) {
            tracing::error!(job_id = %self.job.id(), %error, "encoding a journal record failed");
        }
    }

    /// Records a user's request for cancellation.
    pub(super) fn request_cancel(&mut self) {
        if !self.job.cancel_requested {
            self.job.cancel_requested = true;
            self.note(&JobRecord::CancelRequested);
        }
    }

    /// Reports whether the job has ended or is about to end.
    pub(super) fn is_over(&self) -> bool {
        self.ending.is_some() || self.job.ended.is_some()
    }
}
