//! What can go wrong with GPU work, in the words of `fabric:gpu`.

use serde::{Deserialize, Serialize};

/// Why a call did nothing, or why its outcome is unknown.
///
/// `Invalid`, `Shader` and `Limit` are the guest's; the device never saw what they refuse. After `TimedOut` and
/// `DeviceLost` every handle of the session is gone and the session itself goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This invocation has no grant for a GPU.
    #[error("no GPU for this invocation: {0}")]
    Denied(String),
    /// The WGSL was refused.
    #[error("the shader is refused at line {line}, column {column}: {message}")]
    Shader {
        /// What is wrong with it.
        message: String,
        /// From 1; 0 where unknown.
        line: u32,
        /// From 1, in bytes; 0 where unknown.
        column: u32,
    },
    /// An argument broke a rule: a range, an alignment, a binding, a stale handle.
    #[error("{0}")]
    Invalid(String),
    /// More was asked for than is allowed.
    #[error("{name} is {value}, at most {limit} is allowed")]
    Limit {
        /// Which limit: a field of [`Limits`](crate::Limits) or [`Grant`](crate::Grant), with dashes.
        name: String,
        /// What was asked for, in the limit's unit; where it isn't known exactly, the first value beyond the limit.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The device has no memory left. Grants are set aside when a session opens, so this is rare.
    #[error("the device is out of memory; free buffers or ask for less")]
    OutOfMemory,
    /// The submit passed its deadline and was stopped. Its outputs are undefined; every handle of the session is gone.
    #[error("the GPU work did not end within {deadline_ms} ms and was stopped; do less in one submit")]
    TimedOut {
        /// The deadline that it passed.
        deadline_ms: u64,
    },
    /// The worker or the device went away for a reason outside this session. Every handle of it is gone; try again.
    #[error("the GPU was lost: {0}; create the buffers again and retry")]
    DeviceLost(String),
    /// No room for another session now; try again later or on another node.
    #[error("the GPU is busy: {0}; try again later")]
    Busy(String),
}

impl Error {
    /// Whether the same call may work later, with nothing changed by the guest.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DeviceLost(_) | Self::Busy(_))
    }

    /// A stable name: that of the WIT case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Shader { .. } => "shader",
            Self::Invalid(_) => "invalid",
            Self::Limit { .. } => "limit",
            Self::OutOfMemory => "out-of-memory",
            Self::TimedOut { .. } => "timed-out",
            Self::DeviceLost(_) => "device-lost",
            Self::Busy(_) => "busy",
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

/// Passes when `value` is at most `limit`.
///
/// # Errors
/// [`Error::Limit`] under this name.
pub(crate) fn within(name: &str, value: u64, limit: u64) -> Result<(), Error> {
    if value <= limit { Ok(()) } else { Err(Error::Limit { name: name.to_owned(), value, limit }) }
}
