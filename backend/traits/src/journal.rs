//! The journal: append-only streams of records, of jobs and of activity. It is the source of truth for both.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A record and its position in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the stream, counted from 0 without gaps.
    pub seq: u64,
    /// The appended bytes.
    pub bytes: Bytes,
}

/// A stream and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The name.
    pub name: String,
    /// Number of records.
    pub len: u64,
}

/// Append-only streams. Appended records are durable when the call returns.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Appends all `records` or none, provided that the stream has exactly `expected_len` records. Returns the new
    /// length.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the length differs, because another append came first; [`Error::Backend`].
    async fn append(&self, stream: &str, expected_len: u64, records: Vec<Bytes>) -> Result<u64, Error>;

    /// Reads up to `limit` records, starting at `from`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn read(&self, stream: &str, from: u64, limit: usize) -> Result<Vec<Record>, Error>;

    /// Returns a stream of the records from `from` on, including those appended later. It ends when the journal stream
    /// is deleted.
    fn follow(&self, stream: &str, from: u64) -> BoxStream<'static, Result<Record, Error>>;

    /// Lists up to `limit` streams whose name begins with `prefix` and sorts after `after`, in name order.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamInfo>, Error>;

    /// Deletes a stream. Succeeds if it does not exist.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn delete(&self, stream: &str) -> Result<(), Error>;
}
