//! The registry: small values under keys, each with a revision, changed by compare-and-set.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A value and the revision it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Grows with every change of this key; never 0.
    pub revision: u64,
}

/// What a writer expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing under the key.
    Absent,
    /// This revision.
    Revision(u64),
    /// Whatever is there.
    Any,
}

/// A change, in the order of revisions of its key. A watcher that falls behind sees only the newest value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key has this value now.
    Put(Entry),
    /// The key is gone.
    Deleted(String),
}

/// Versioned key/value. Every write is durable when the call returns.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// Writes and gives the new revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] when `expect` does not hold; [`Error::Backend`].
    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<u64, Error>;

    /// Removes; removing what is not there is fine with [`Expect::Any`].
    ///
    /// # Errors
    /// As for [`Self::put`].
    async fn delete(&self, key: &str, expect: Expect) -> Result<(), Error>;

    /// Up to `limit` entries whose key begins with `prefix` and sorts after `after`, in key order.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, Error>;

    /// Changes of keys that begin with `prefix` from now on. Ends only when the registry closes.
    fn watch(&self, prefix: &str) -> BoxStream<'static, Change>;
}
