//! What can go wrong in a backend.

use fabric_types::Code;

/// An error of an engine backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The expected revision or sequence is not the current one: somebody else wrote first. Read again and decide.
    #[error("{what} `{key}` has changed: expected {expected}, found {found}")]
    Conflict {
        /// `registry key` or `journal stream`.
        what: &'static str,
        /// Which.
        key: String,
        /// What the caller expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The lease is not held any more; whatever was done under it must stop.
    #[error("lease `{name}` was lost")]
    LeaseLost {
        /// Which lease.
        name: String,
    },
    /// The receiver is gone or its queue is full and the wait was given up.
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
        /// What was being done.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether doing it again may help.
        retryable: bool,
    },
    /// The backend does not let this process in: the login was refused.
    #[error("{backend}: {context}")]
    Refused {
        /// `nats`.
        backend: &'static str,
        /// What was being done.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A setting of the backend can't be used: an address, a certificate, a file with a login.
    #[error("{backend}: {context}")]
    Setting {
        /// `nats`.
        backend: &'static str,
        /// Which setting, and what is wrong with it.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk beneath the backend has no room.
    #[error("{backend}: the disk is full: {context}")]
    Full {
        /// `sqlite`, `object store`.
        backend: &'static str,
        /// What was being done.
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
        "`{path}` has tables of version {found}, this release knows {known}: use the newer release or another data folder"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: usize,
        /// The newest version known here.
        known: usize,
    },
    /// Stored bytes do not read back.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// The stable code that clients see.
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

    /// Whether doing the same again may succeed.
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
