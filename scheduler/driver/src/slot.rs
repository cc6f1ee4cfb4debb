//! A job in the owner's hands, with what is to be written of it.

use crate::{
    live::Live,
    record::{Ended, Record},
    room::Place,
};
use bytes::Bytes;
use fabric_types::work::OutputRef;
use std::sync::Arc;

/// A job and what is under way for it.
pub struct Slot {
    /// The job.
    pub live: Live,
    pub(crate) pending: Vec<Bytes>,
    /// Records whose append failed, and may have been written all the same. Only the very same append can find that out.
    pub(crate) unsure: Vec<Bytes>,
    pub(crate) writing: bool,
    pub(crate) ending: Option<Ended>,
    pub(crate) sources: Option<Arc<[OutputRef]>>,
    /// What it is charged with until it ends.
    pub(crate) place: Option<Place>,
}

impl Slot {
    /// Whether the journal does not have all of it.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.pending.is_empty() || !self.unsure.is_empty()
    }

    /// Adds a record to what is to be written.
    pub fn note(&mut self, record: &Record) {
        match record.encode() {
            Ok(bytes) => self.pending.push(bytes),
            Err(error) => tracing::error!(job_id = %self.live.id(), %error, "a record can't be written"),
        }
    }

    /// Asks for the job's end on a user's behalf.
    pub fn cancel_asked(&mut self) {
        if !self.live.cancel_asked {
            self.live.cancel_asked = true;
            self.note(&Record::CancelAsked);
        }
    }

    /// Whether it has ended or is about to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_some() || self.live.ended.is_some()
    }
}
