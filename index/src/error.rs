//! The error type of the index.

use fabric_types::Code;

/// The reason for which changes were not written, sent to each caller that waits for them.
#[derive(Debug, Clone)]
pub struct WriteFailure {
    message: String,
    is_disk_full: bool,
}

impl std::fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for WriteFailure {
    fn from(error: Error) -> Self {
        let is_disk_full = error.code() == Code::DiskFull;
        let message = if is_disk_full { "the disk is full".to_owned() } else { error.to_string() };
        Self { message, is_disk_full }
    }
}

fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// An error of the index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite failed.
    #[error("index: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The batch with this change failed.
    #[error("index: not written: {0}")]
    NotWritten(WriteFailure),
    /// A row cannot be decoded. The index is rebuilt if its file is deleted.
    #[error("index: a row is damaged: {0}; delete the index file to have it rebuilt")]
    Damaged(#[from] serde_json::Error),
    /// A newer release wrote the file.
    #[error("`{path}` has tables of version {found}, this release supports {known}: use the newer release")]
    Newer {
        /// The file.
        path: String,
        /// The schema version of the file.
        found: i64,
        /// The schema version that this release supports.
        known: i64,
    },
    /// A file could not be created or removed.
    #[error("index: `{path}`: {source}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The writer thread could not be started.
    #[error("index: the writer thread did not start: {0}")]
    Thread(std::io::Error),
    /// The index is closed.
    #[error("index: it is closed")]
    Closed,
}

impl Error {
    /// Returns the stable code that clients receive.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotWritten(WriteFailure { is_disk_full: true, .. }) => Code::DiskFull,
            Self::Sqlite(error) if is_disk_full(error) => Code::DiskFull,
            Self::Closed | Self::NotWritten(_) => Code::Unavailable,
            Self::Newer { .. } => Code::Conflict,
            _ => Code::Internal,
        }
    }

    /// Returns `true` if a retry of the same operation may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }
}

impl From<Error> for fabric_types::Fault {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
