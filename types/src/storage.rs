//! What a tenant keeps on disk, by kind.

use crate::units::ByteSize;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes that an entry of a file system or a store takes beside its contents, about: a block of most file systems.
pub const ENTRY_BYTES: u64 = 4096;

/// A kind of stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// Objects that users put and jobs wrote, uploads under way included.
    Objects,
    /// Results of tasks and bodies of asynchronous invocations.
    Results,
    /// Modules, and the records of functions and versions.
    Functions,
    /// Journals of jobs: what was asked and which tasks have which results.
    Jobs,
    /// Remembered answers to requests with an `Idempotency-Key`.
    Answers,
    /// Volumes of the node that was asked.
    Volumes,
    /// Log lines and invocation records; they give way by themselves.
    Logs,
}

impl StorageKind {
    /// Every kind, in the order of [`Self::index`].
    pub const ALL: [Self; 7] =
        [Self::Objects, Self::Results, Self::Functions, Self::Jobs, Self::Answers, Self::Volumes, Self::Logs];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The text of it.
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

    /// How a tenant frees it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Objects => "remove objects with `fabric rm`",
            Self::Results => "results go some days after their last use; an admin may shorten `storage.keep-results`",
            Self::Functions => {
                "delete functions with `fabric functions delete`; modules that nothing runs go some minutes later"
            }
            Self::Jobs => "remove jobs with `fabric jobs delete --now`",
            Self::Answers => "remembered answers go after a day; send fewer requests with an Idempotency-Key",
            Self::Volumes => "let a function remove files from its volume",
            Self::Logs => "log lines don't count towards the quota",
        }
    }
}

impl fmt::Display for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StorageLine {
    /// The kind.
    pub kind: StorageKind,
    /// Bytes, about.
    pub bytes: ByteSize,
}

/// What a tenant keeps, and may keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Storage {
    /// What counts towards the quota: everything but log lines, which have bounds of their own and give way at them.
    pub used_bytes: ByteSize,
    /// What it may keep; `None` for no limit but the disk.
    pub quota_bytes: Option<ByteSize>,
    /// By kind.
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
