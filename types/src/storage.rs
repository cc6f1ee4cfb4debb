//! Storage of a tenant, by kind.

use crate::units::ByteSize;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Approximate overhead of an entry in a file system or store, in bytes: a block of most file systems.
pub const ENTRY_BYTES: u64 = 4096;

/// A kind of stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// Objects of users and jobs, including uploads in progress.
    Objects,
    /// Results of tasks and bodies of asynchronous invocations.
    Results,
    /// Modules, and the records of functions and versions.
    Functions,
    /// Journals of jobs: specifications, and the results of tasks.
    Jobs,
    /// Stored responses to requests with an `Idempotency-Key`.
    Answers,
    /// Volumes on the node that serves the request.
    Volumes,
    /// Log lines and invocation records. The oldest are removed automatically.
    Logs,
}

impl StorageKind {
    /// All kinds, in the order of [`Self::index`].
    pub const ALL: [Self; 7] =
        [Self::Objects, Self::Results, Self::Functions, Self::Jobs, Self::Answers, Self::Volumes, Self::Logs];

    /// Returns the index in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the kind as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Results => "results",
            Self::Functions => "functions",
            Self::Jobs => "jobs",
            Self::Answers => "answers",
            Self::Volumes => "volumes",
            Self::Logs => "logs",
        }
    }

    /// Returns a hint on how a tenant can free this storage.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Objects => "remove objects with `fabric rm`",
            Self::Results => {
                "results expire some days after their last use; an admin can shorten `storage.keep-results`"
            }
            Self::Functions => {
                "delete functions with `fabric functions delete`; unused modules are removed some minutes later"
            }
            Self::Jobs => "remove jobs with `fabric jobs delete --now`",
            Self::Answers => "stored responses expire after a day; send fewer requests with an Idempotency-Key",
            Self::Volumes => "remove files from the volume with a function that mounts it",
            Self::Logs => "log lines don't count towards the quota",
        }
    }
}

impl fmt::Display for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stored bytes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageLine {
    /// Kind of storage.
    pub kind: StorageKind,
    /// Approximate size in bytes.
    pub bytes: ByteSize,
}

/// The storage of a tenant and its quota.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// Bytes that count towards the quota: all kinds except log lines, which have separate limits and are removed
    /// automatically.
    pub used_bytes: ByteSize,
    /// Quota in bytes; `None` if only the disk limits it.
    pub quota_bytes: Option<ByteSize>,
    /// Sizes by kind.
    pub kinds: Vec<StorageLine>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_where_their_index_says() {
        for (at, kind) in StorageKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), at);
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
        }
    }
}
