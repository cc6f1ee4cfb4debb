//! Errors of GPU work, as defined by `fabric:gpu`.

use std::fmt;

/// A result whose error is a GPU [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a GPU call. The call had no effect, except after `TimedOut` and `DeviceLost`: then its effect is
/// unknown.
///
/// `?` converts it into a [`fabric::Error`](crate::Error): [`ErrorKind::Retryable`](crate::ErrorKind::Retryable) for
/// `DeviceLost` and `Busy`, [`ErrorKind::Failed`](crate::ErrorKind::Failed) for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This call has no GPU: the manifest does not request one, or the node has none. The text gives the reason.
    Denied(String),
    /// The WGSL is not accepted.
    Shader {
        /// Description of the error.
        message: String,
        /// Line, from 1; 0 if unknown.
        line: u32,
        /// Column, from 1, in bytes; 0 if unknown.
        column: u32,
    },
    /// An argument is invalid: a range, a binding, a buffer that was lost with the device.
    Invalid(String),
    /// A request exceeds a limit.
    Limit {
        /// Name of the limit, such as `total-bytes`. Most limits are fields of [`DeviceLimits`](super::DeviceLimits).
        name: String,
        /// The requested value, or the first value above the limit.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// The device is out of memory.
    OutOfMemory,
    /// The submit exceeded its deadline and was stopped. Its outputs are undefined, and all buffers and pipelines are
    /// lost.
    TimedOut,
    /// The device was lost for a reason outside this function, with all buffers and pipelines. A retry may succeed.
    DeviceLost(String),
    /// The device has no capacity at the moment. A retry may succeed.
    Busy(String),
}

impl Error {
    /// Returns `true` if the same work may succeed later, unchanged. Return such an error from the function: the host
    /// retries the task.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DeviceLost(_) | Self::Busy(_))
    }

    /// Returns a stable code: the name of the case in `wit/gpu`, such as `out-of-memory`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Shader { .. } => "shader",
            Self::Invalid(_) => "invalid",
            Self::Limit { .. } => "limit",
            Self::OutOfMemory => "out-of-memory",
            Self::TimedOut => "timed-out",
            Self::DeviceLost(_) => "device-lost",
            Self::Busy(_) => "busy",
        }
    }

    pub(super) fn invalid(message: impl fmt::Display) -> Self {
        Self::Invalid(message.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(f, "no GPU for this call: {why}"),
            Self::Shader { message, line: 0, .. } => write!(f, "the shader is refused: {message}"),
            Self::Shader { message, line, column } => {
                write!(f, "the shader is refused at line {line}, column {column}: {message}")
            }
            Self::Invalid(message) => f.write_str(message),
            Self::Limit { name, value, limit } => {
                write!(f, "the GPU limit {name} is exceeded: {value}, at most {limit} is allowed")
            }
            Self::OutOfMemory => f.write_str("the GPU is out of memory; ask for less, or drop buffers first"),
            Self::TimedOut => f.write_str("the GPU work passed its deadline and was stopped; do less in one submit"),
            Self::DeviceLost(why) => write!(f, "the GPU was lost: {why}; try again"),
            Self::Busy(why) => write!(f, "the GPU is busy: {why}; try again later"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        if error.is_retryable() { Self::retryable(error) } else { Self::failed(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn all() -> Vec<Error> {
        vec![
            Error::Denied("the node has none".into()),
            Error::Shader { message: "expected `;`".into(), line: 2, column: 3 },
            Error::Shader { message: "no entry point".into(), line: 0, column: 0 },
            Error::Invalid("8 bytes at 4 go beyond the buffer".into()),
            Error::Limit { name: "total-bytes".into(), value: 9, limit: 8 },
            Error::OutOfMemory,
            Error::TimedOut,
            Error::DeviceLost("it was killed".into()),
            Error::Busy("8 others wait".into()),
        ]
    }

    #[test]
    fn each_says_what_happened_and_what_to_do() {
        let texts: Vec<String> = all().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "no GPU for this call: the node has none",
                "the shader is refused at line 2, column 3: expected `;`",
                "the shader is refused: no entry point",
                "8 bytes at 4 go beyond the buffer",
                "the GPU limit total-bytes is exceeded: 9, at most 8 is allowed",
                "the GPU is out of memory; ask for less, or drop buffers first",
                "the GPU work passed its deadline and was stopped; do less in one submit",
                "the GPU was lost: it was killed; try again",
                "the GPU is busy: 8 others wait; try again later",
            ]
        );
    }

    #[test]
    fn what_may_pass_is_retried_by_the_host_and_the_rest_is_not() {
        for error in all() {
            let retryable = matches!(error.code(), "device-lost" | "busy");
            assert_eq!(error.is_retryable(), retryable, "{error}");
            let expected = if retryable { ErrorKind::Retryable } else { ErrorKind::Failed };
            let message = error.to_string();
            let general: crate::Error = error.into();
            assert_eq!((general.kind(), general.message()), (expected, message.as_str()));
        }
    }
}
