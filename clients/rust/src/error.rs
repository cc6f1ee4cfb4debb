//! Errors of a call, each with a code, a hint and an exit status.

use fabric_api::Problem;
use fabric_types::{Code, code::Exit};

/// The result of a call to the server.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server responded with a problem document.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The connection failed, or broke before a response came.
    #[error("can't reach {url}: {reason}")]
    Unreachable {
        /// Server address.
        url: String,
        /// Cause of the failure.
        reason: String,
    },
    /// The response did not arrive in time.
    #[error("no answer from {url} within {seconds} s")]
    Timeout {
        /// Server address.
        url: String,
        /// Timeout in seconds.
        seconds: u64,
    },
    /// The response does not conform to the API.
    #[error("unexpected answer from {url}: {reason}")]
    Protocol {
        /// Request address.
        url: String,
        /// Description of the mismatch.
        reason: String,
    },
    /// The body ended early.
    #[error("the transfer was interrupted: {0}")]
    Interrupted(String),
    /// A local file or stream failed.
    #[error("{what}: {source}")]
    Io {
        /// File or operation that failed.
        what: String,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// A setting is invalid, such as the server's address or the token.
    #[error("{0}")]
    Setting(String),
    /// The body is longer than the caller's limit.
    #[error("the answer is larger than {limit} bytes")]
    TooLong {
        /// Limit in bytes.
        limit: u64,
    },
    /// The operating system has no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl Error {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Problem(problem) => problem.code,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Interrupted(_) => Code::Unreachable,
            Self::Protocol { .. } | Self::Io { .. } | Self::Random(_) => Code::Internal,
            Self::Setting(_) => Code::BadRequest,
            Self::TooLong { .. } => Code::TooLarge,
        }
    }

    /// Returns a suggested next step, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.hint.clone(),
            Self::Unreachable { reason, .. } if reason.contains("certificate") => {
                Some("trust its authority with --ca FILE".to_owned())
            }
            Self::Unreachable { .. } => Some("start one: fabric serve".to_owned()),
            Self::Protocol { .. } => Some("is that address a fabric server? see: fabric config show".to_owned()),
            _ => None,
        }
    }

    /// Returns the exit status for a command that fails with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Setting(_) => Exit::Usage,
            other => other.code().exit(),
        }
    }

    /// Returns `true` if the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.code.is_retryable(),
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Interrupted(_) => true,
            _ => false,
        }
    }

    /// Returns `true` if the server responded with `not-found`.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(p) if p.code == Code::NotFound)
    }

    /// Returns the problem document that the server sent, if this is one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
    }

    pub(crate) fn transport(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        Self::Unreachable { url: origin(url), reason: root_cause(error) }
    }
}

/// Returns scheme, host and port. The rest of an address may contain data that must not be logged.
pub(crate) fn origin(url: &reqwest::Url) -> String {
    url.origin().ascii_serialization()
}

/// Returns the text of the innermost cause, which names the actual failure.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    // Chains of errors are short. The limit guards against an error that is its own source.
    for _ in 0..16 {
        match cause.source() {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    cause.to_string()
}
