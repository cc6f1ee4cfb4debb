//! What can go wrong with GPU work, in the words of `fabric:gpu`.

use std::fmt;

/// A result whose error is a GPU's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call did nothing, or why its outcome is unknown.
///
/// `?` turns it into a [`fabric::Error`](crate::Error): [`ErrorKind::Retryable`](crate::ErrorKind::Retryable) for what may
/// pass, [`ErrorKind::Failed`](crate::ErrorKind::Failed) for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This call has no GPU: the manifest does not ask for one, or the node has none. The text says which.
    Denied(String),
    /// The WGSL is refused.
    Shader {
        /// What is wrong.
        message: String,
        /// From 1; 0 where it is not known.
        line: u32,
        /// From 1, in bytes; 0 where it is not known.
        column: u32,
    },
    /// An argument broke a rule: a range, a binding, a buffer that went away with the device.
    Invalid(String),
    /// More was asked for than is allowed.
    Limit {
        /// Which limit, such as `total-bytes`; most of them are fields of [`Limits`](super::Limits).
        name: String,
        /// What was asked for, or the first value beyond the limit.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The device has no memory left.
    OutOfMemory,
    /// The submit passed its deadline and was stopped. What it wrote is undefined; all buffers and pipelines are gone.
    TimedOut,
    /// The device went away for a reason outside this function; all buffers and pipelines are gone. A retry may work.
    DeviceLost(String),
    /// The device has no room now. A retry may work.
    Busy(String),
}

impl Error {
    /// Whether the same work may succeed later, with nothing changed. Such an error is best passed on: the host tries the
    /// task again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DeviceLost(_) | Self::Busy(_))
    }

    /// A stable name: that of the case in `wit/gpu`, such as `out-of-memory`.
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
                write!(f, "the GPU limit {name} is passed: {value}, at most {limit} is allowed")
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
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
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
                "the GPU limit total-bytes is passed: 9, at most 8 is allowed",
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
