//! The records of a job that are to be appended to its journal, one append at a time.

use super::record::{Damaged, JobRecord};
use bytes::Bytes;

/// The pending appends of one job.
#[derive(Debug, Default)]
pub struct JournalWriter {
    pending: Vec<Bytes>,
    /// Records of an append with an unknown outcome. Only a retry of the identical append resolves it.
    unresolved_append: Vec<Bytes>,
    is_writing: bool,
}

impl JournalWriter {
    /// Reports whether the journal lacks records.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        !self.pending.is_empty() || !self.unresolved_append.is_empty()
    }

    /// Adds a record to the pending ones.
    ///
    /// # Errors
    /// [`Damaged`] if the record cannot be encoded, which is a defect.
    pub fn push(&mut self, record: &JobRecord) -> Result<(), Damaged> {
        self.pending.push(record.encode()?);
        Ok(())
    }

    /// Starts the next append and returns its records: an unresolved append first, otherwise all pending records.
    /// Returns `None` during an append, and if nothing is pending.
    pub fn begin(&mut self) -> Option<Vec<Bytes>> {
        if self.is_writing || !self.has_unwritten() {
            return None;
        }
        self.is_writing = true;
        let unresolved = !self.unresolved_append.is_empty();
        Some(std::mem::take(if unresolved { &mut self.unresolved_append } else { &mut self.pending }))
    }

    /// Keeps the records of an append with an unknown outcome. Appends stay suspended until [`Self::resume`].
    pub fn unresolved(&mut self, records: Vec<Bytes>) {
        self.unresolved_append = records;
    }

    /// Suspends appends until [`Self::resume`].
    pub fn suspend(&mut self) {
        self.is_writing = true;
    }

    /// Allows the next append.
    pub fn resume(&mut self) {
        self.is_writing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_of_unknown_outcome_is_repeated_alone_and_first() {
        let mut writer = JournalWriter::default();
        writer.push(&JobRecord::Started(1)).unwrap();
        let first = writer.begin().unwrap();
        writer.push(&JobRecord::CancelRequested).unwrap();
        assert_eq!(writer.begin(), None);
        writer.unresolved(first.clone());
        assert_eq!(writer.begin(), None);
        writer.resume();
        assert_eq!(writer.begin(), Some(first));
        writer.resume();
        assert_eq!(writer.begin(), Some(vec![JobRecord::CancelRequested.encode().unwrap()]));
        assert!(!writer.has_unwritten());
    }
}
