//! Results under task keys: committed once, compared on every later commit.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
};

/// Maximum size of an inline result in bytes. Larger results are objects.
pub const INLINE_BYTES: usize = 64 * 1024;

/// The location of a result's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultBody {
    /// Inline in the record.
    Inline(Bytes),
    /// In the object store, in the tenant's results space, under the hex of its content digest.
    Object,
}

/// A committed result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRecord {
    /// BLAKE3 digest of the bytes.
    pub digest: ContentDigest,
    /// Length in bytes.
    pub len: u64,
    /// The bytes or their location.
    pub body: ResultBody,
    /// The media type.
    pub content_type: Option<String>,
    /// For a shuffle output: the start of each bucket in bytes, followed by the end of the output. Otherwise empty.
    pub buckets: Vec<u64>,
    /// Fuel spent by the run that produced it.
    pub fuel: u64,
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The key was free and the result is now stored.
    Stored,
    /// The same bytes were already stored.
    Same,
    /// Different bytes were already stored and stay; their digest. For a pure function this is a defect that deserves
    /// an alert.
    Differs(ContentDigest),
}

/// Create-if-absent storage of results.
#[async_trait]
pub trait Results: Send + Sync + 'static {
    /// Returns the results under `keys`, in the order of `keys`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get_many(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<Vec<Option<ResultRecord>>, Error>;

    /// Commits each result whose key is free. Durable when the call returns. The answers are in the order of `results`.
    ///
    /// # Errors
    /// [`Error::Backend`]: none, some or all results may have been committed; a retry is safe.
    async fn commit(
        &self,
        tenant: &TenantId,
        results: Vec<(TaskKey, ResultRecord)>,
    ) -> Result<Vec<CommitOutcome>, Error>;

    /// Deletes results, for instance when a tenant clears its cache.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn delete(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<(), Error>;
}
