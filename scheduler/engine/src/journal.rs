//! The journal: append-only streams of records, one stream for each job. It is the authority on what happened.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A record and its place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counts from 0 within the stream, without gaps.
    pub seq: u64,
    /// What was appended.
    pub bytes: Bytes,
}

/// A stream and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Records in it.
    pub len: u64,
}

/// Append-only streams. What is appended is durable when the call returns.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Appends all of `records` or none, if the stream has exactly `expected_len` records; gives the new length.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the length differs: another owner wrote. [`Error::Backend`].
    async fn append(&self, stream: &str, expected_len: u64, records: Vec<Bytes>) -> Result<u64, Error>;

    /// Up to `limit` records from `from` on.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn read(&self, stream: &str, from: u64, limit: usize) -> Result<Vec<Record>, Error>;

    /// Records from `from` on, those that are still to come included. Ends when the stream is deleted.
    fn follow(&self, stream: &str, from: u64) -> BoxStream<'static, Result<Record, Error>>;

    /// Up to `limit` streams whose name begins with `prefix` and sorts after `after`, in name order.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamInfo>, Error>;

    /// Removes a stream; fine when it is not there.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn delete(&self, stream: &str) -> Result<(), Error>;
}
