//! The error type of the backends.

use fabric_types::Code;

/// An error of a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The expected revision or length is not the current one: another writer was first. Read again before retrying.
    #[error("{what} `{key}` has changed: expected {expected}, found {found}")]
    Conflict {
        /// `registry key` or `journal stream`.
        what: &'static str,
        /// The key or the name of the stream.
        key: String,
        /// The state that the caller expected.
        expected: String,
        /// The current state.
        found: String,
    },
    /// The lease is not held any more. Work under it must stop.
    #[error("lease `{name}` was lost")]
    LeaseLost {
        /// The name of the lease.
        name: String,
    },
    /// The receiver does not exist, or its queue stayed full until the wait was abandoned.
    #[error("lane to `{node}` is closed")]
    LaneClosed {
        /// The node.
        node: String,
    },
    /// The backend failed.
    #[error("{backend}: {context}")]
    Backend {
        /// `sqlite`, `nats`, ….
        backend: &'static str,
        /// The operation that failed.
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// `true` if a retry may succeed.
        retryable: bool,
    },
    /// The backend refused the login of this process.
    #[error("{backend}: {context}")]
    Refused {
        /// `nats`.
        backend: &'static str,
        /// The operation that failed.
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A setting of the backend is unusable: an address, a certificate, or a credentials file.
    #[error("{backend}: {context}")]
    Setting {
        /// `nats`.
        backend: &'static str,
        /// The setting and its problem.
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend's disk is full.
    #[error("{backend}: the disk is full: {context}")]
    Full {
        /// `sqlite`, `object store`.
        backend: &'static str,
        /// The operation that failed.
        context: String,
    },
    /// Another process has the file open.
    #[error("`{path}` is in use: another `fabric serve` has it open; stop that one or use another data folder")]
    InUse {
        /// The file.
        path: String,
    },
    /// A newer release wrote the file.
    #[error(
        "`{path}` has tables of version {found}, this release supports {known}: use the newer release or another data folder"
    )]
    Newer {
        /// The file.
        path: String,
        /// The schema version of the file.
        found: usize,
        /// The newest schema version that this release supports.
        known: usize,
    },
    /// Stored bytes cannot be decoded.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// Returns the stable code that clients receive.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } | Self::InUse { .. } | Self::Newer { .. } => Code::Conflict,
            Self::Refused { .. } => Code::Denied,
            Self::Setting { .. } => Code::BadRequest,
            Self::LeaseLost { .. } | Self::LaneClosed { .. } => Code::Unavailable,
            Self::Full { .. } => Code::DiskFull,
            Self::Backend { retryable: true, .. } => Code::Unavailable,
            Self::Backend { .. } | Self::Damaged(_) => Code::Internal,
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
        let fault = Self::new(error.code(), error.to_string());
        if matches!(error, Error::Full { .. }) { fault.hint(fabric_types::disk::FULL_HINT) } else { fault }
    }
}
