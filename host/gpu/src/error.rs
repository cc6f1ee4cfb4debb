//! Errors of GPU work, as defined by `fabric:gpu`.

use serde::{Deserialize, Serialize};

/// An error of a GPU call.
///
/// `Invalid`, `Shader` and `Limit` are guest faults, and the device does not receive the call. After `TimedOut` and
/// `DeviceLost`, every handle of the session is stale; the session itself stays open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This invocation has no grant for a GPU.
    #[error("no GPU for this invocation: {0}")]
    Denied(String),
    /// The WGSL is not accepted.
    #[error("the shader is refused at line {line}, column {column}: {message}")]
    Shader {
        /// Description of the error.
        message: String,
        /// Line, from 1; 0 if unknown.
        line: u32,
        /// Column, from 1, in bytes; 0 if unknown.
        column: u32,
    },
    /// An argument is invalid: a range, an alignment, a binding, a stale handle.
    #[error("{0}")]
    Invalid(String),
    /// A request exceeds a limit.
    #[error("{name} is {value}, at most {limit} is allowed")]
    Limit {
        /// Name of the limit in kebab case: a field of [`AdapterLimits`](crate::AdapterLimits) or
        /// [`Grant`](crate::Grant).
        name: String,
        /// The requested value, in the limit's unit. If it is not known exactly, the first value above the limit.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// The device is out of memory. This is rare, because the memory of a grant is reserved when its session opens.
    #[error("the device is out of memory; free buffers or ask for less")]
    OutOfMemory,
    /// The submit exceeded its deadline and was stopped. Its outputs are undefined, and every handle of the session is
    /// stale.
    #[error("the GPU work did not end within {deadline_ms} ms and was stopped; do less in one submit")]
    TimedOut {
        /// The exceeded deadline, in milliseconds.
        deadline_ms: u64,
    },
    /// The worker or the device was lost for a reason outside this session. Every handle of the session is stale.
    /// Retryable.
    #[error("the GPU was lost: {0}; create the buffers again and retry")]
    DeviceLost(String),
    /// The device has no capacity at the moment. Retryable, later or on another node.
    #[error("the GPU is busy: {0}; try again later")]
    Busy(String),
}

impl Error {
    /// Returns `true` if the same call may succeed later, unchanged.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DeviceLost(_) | Self::Busy(_))
    }

    /// Returns a stable code: the name of the WIT case.
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

/// Checks that `value` is at most `limit`.
///
/// # Errors
/// [`Error::Limit`] with this name.
pub(crate) fn within(name: &str, value: u64, limit: u64) -> Result<(), Error> {
    if value <= limit { Ok(()) } else { Err(Error::Limit { name: name.to_owned(), value, limit }) }
}
