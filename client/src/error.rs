//! What can go wrong between a caller and a server, with the code, the hint and the exit status that follow from it.

use fabric_types::{Code, code::Exit, rest::problem::Problem};

/// The result of a call to the server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with a problem.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No connection, or it broke before an answer came.
    #[error("can't reach {url}: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("no answer from {url} within {seconds} s")]
    Timeout {
        /// The server.
        url: String,
        /// How long it had.
        seconds: u64,
    },
    /// The answer is not one that this API gives.
    #[error("unexpected answer from {url}: {reason}")]
    Protocol {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body broke off.
    #[error("the transfer broke off: {0}")]
    Interrupted(String),
    /// A file or stream on this side failed.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The server's address, the token or another setting can't be used.
    #[error("{0}")]
    Setting(String),
    /// More than the caller was ready to take.
    #[error("the answer is larger than {limit} bytes")]
    TooLong {
        /// How much it would have taken.
        limit: u64,
    },
    /// The operating system gives no randomness.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl Error {
    /// The stable code.
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

    /// What to do next, where there is something to say.
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

    /// What a command that ends with it exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Setting(_) => Exit::Usage,
            other => other.code().exit(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.code.is_retryable(),
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Interrupted(_) => true,
            _ => false,
        }
    }

    /// Whether the server says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(p) if p.code == Code::NotFound)
    }

    /// The problem that the server sent, where it is one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
    }

    pub(crate) fn transport(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        Self::Unreachable { url: origin(url), reason: root_cause(error) }
    }
}

/// Scheme, host and port: a whole address may carry what a log should not.
pub(crate) fn origin(url: &reqwest::Url) -> String {
    url.origin().ascii_serialization()
}

/// The innermost cause says what happened; the outer ones only where.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    // A chain of errors is a handful long; the bound is against a source that names itself.
    for _ in 0..16 {
        match cause.source() {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    cause.to_string()
}
