//! The registry: small values under keys, each with a revision, changed by compare-and-set.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Grows with every change of this key; never 0.
    pub revision: u64,
}

/// The precondition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// The key does not exist.
    Absent,
    /// The key has this revision.
    Revision(u64),
    /// No precondition.
    Any,
}

/// A change of a key. The changes of one key arrive in the order of its revisions. A slow watcher receives only the
/// newest value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key now has this value.
    Put(RegistryEntry),
    /// The key was deleted.
    Deleted(String),
}

/// A versioned key/value store. Every write is durable when the call returns.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Returns the entry under `key`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get(&self, key: &str) -> Result<Option<RegistryEntry>, Error>;

    /// Writes a value. Returns the new revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] if `expect` does not hold; [`Error::Backend`].
    async fn put(&self, key: &str, value: Bytes, expect: Precondition) -> Result<u64, Error>;

    /// Deletes a key. With [`Precondition::Any`], succeeds if the key does not exist.
    ///
    /// # Errors
    /// As for [`Self::put`].
    async fn delete(&self, key: &str, expect: Precondition) -> Result<(), Error>;

    /// Lists up to `limit` entries whose key begins with `prefix` and sorts after `after`, in key order.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<RegistryEntry>, Error>;

    /// Returns the changes from now on of keys that begin with `prefix`. Ends only when the registry closes.
    fn watch(&self, prefix: &str) -> BoxStream<'static, Change>;
}
