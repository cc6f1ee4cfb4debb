//! Results under task keys: committed once, compared ever after.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
};

/// Results up to this many bytes are kept inline; larger ones are objects.
pub const INLINE_BYTES: usize = 64 * 1024;

/// Where a result's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here.
    Inline(Bytes),
    /// In the object store, in the tenant's results space, under the hex of its content digest.
    Object,
}

/// A committed result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRecord {
    /// BLAKE3 of the bytes.
    pub digest: ContentDigest,
    /// Bytes.
    pub len: u64,
    /// The bytes, or where they are.
    pub body: Body,
    /// The media type.
    pub content_type: Option<String>,
    /// For shuffle output: where each bucket starts, in bytes, and last where the output ends. Else empty.
    pub buckets: Vec<u64>,
    /// Fuel that the run which gave it spent.
    pub fuel: u64,
}

/// What a commit found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Nothing was there; it is now.
    Stored,
    /// The same bytes were there.
    Same,
    /// Other bytes were there; they stay. For a pure function this is a defect worth an alarm.
    Differs(ContentDigest),
}

/// Create-if-absent storage of results.
#[async_trait]
pub trait Results: Send + Sync + 'static {
    /// The results under `keys`, in their order.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get_many(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<Vec<Option<ResultRecord>>, Error>;

    /// Commits each result whose key is free. Durable when the call returns. The answers are in the order of `results`.
    ///
    /// # Errors
    /// [`Error::Backend`]: then none, some or all may have been committed; doing it again is safe.
    async fn commit(&self, tenant: &TenantId, results: Vec<(TaskKey, ResultRecord)>) -> Result<Vec<Commit>, Error>;

    /// Forgets results, for instance when a tenant clears its cache.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn forget(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<(), Error>;
}
