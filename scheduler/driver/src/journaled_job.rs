//! A job in the owner, with the records that are to be written for it.

use crate::{
    job_state::OpenJob,
    record::{JobEnd, JobRecord},
    room::Place,
};
use bytes::Bytes;
use fabric_types::work::OutputRef;
use std::sync::Arc;

/// A job and its pending writes.
pub struct JournaledJob {
    /// The job.
    pub live: OpenJob,
    pub(crate) pending: Vec<Bytes>,
    /// Records of an append with an unknown outcome. Only a retry of the identical append resolves it.
    pub(crate) unsure: Vec<Bytes>,
    pub(crate) writing: bool,
    pub(crate) ending: Option<JobEnd>,
    pub(crate) sources: Option<Arc<[OutputRef]>>,
    /// Memory charge of the job until it ends.
    pub(crate) place: Option<Place>,
}

impl JournaledJob {
    /// Reports whether the journal lacks records of the job.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.pending.is_empty() || !self.unsure.is_empty()
    }

    /// Adds a record to the pending ones.
    pub fn note(&mut self, record: &JobRecord) {
        match record.encode() {
            Ok(bytes) => self.pending.push(bytes),
            Err(error) => tracing::error!(job_id = %self.live.id(), %error, "encoding a journal record failed"),
        }
    }

    /// Records a user's request for cancellation.
    pub fn cancel_asked(&mut self) {
        if !self.live.cancel_asked {
            self.live.cancel_asked = true;
            self.note(&JobRecord::CancelAsked);
        }
    }

    /// Reports whether the job has ended or is about to end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_some() || self.live.ended.is_some()
    }
}
