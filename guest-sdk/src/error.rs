//! Errors of a function, in the three kinds that the host distinguishes.
//!
//! The kind determines the host's reaction: invalid input fails at once, a transient failure is retried.

use std::fmt;
use std::io;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, which determines the host's reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input or a parameter is invalid. Never retried: the same bytes fail in the same way.
    InvalidInput,
    /// A transient failure outside the function. Retried with backoff, up to the job's attempt limit.
    Retryable,
    /// Any other failure of the function. Never retried.
    Failed,
}

/// An error of a function: a kind and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// Creates an error for an invalid input or parameter. The message names the value and its location.
    pub fn invalid_input(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::InvalidInput, message: message.to_string() }
    }

    /// Creates an error for a transient failure outside the function.
    pub fn retryable(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Retryable, message: message.to_string() }
    }

    /// Creates an error for any other failure.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Failed, message: message.to_string() }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prefixes the message with `context`. The kind does not change.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{context}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    /// Maps invalid data to `InvalidInput`, interruptions and lost connections to `Retryable`, and the rest to
    /// `Failed`.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        match error.kind() {
            K::InvalidData | K::InvalidInput | K::UnexpectedEof => Self::invalid_input(error),
            K::Interrupted
            | K::TimedOut
            | K::WouldBlock
            | K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::BrokenPipe => Self::retryable(error),
            _ => Self::failed(error),
        }
    }
}

/// Implements the conversion of parse errors into `InvalidInput`.
macro_rules! from_parse_error {
    ($($source:ty),* $(,)?) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::invalid_input(error)
            }
        }
    )*};
}

from_parse_error!(
    serde_json::Error,
    csv::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::char::ParseCharError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    base64::DecodeError,
);

impl From<fmt::Error> for Error {
    fn from(error: fmt::Error) -> Self {
        Self::failed(error)
    }
}

impl From<Box<dyn std::error::Error>> for Error {
    fn from(error: Box<dyn std::error::Error>) -> Self {
        Self::failed(error)
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Error {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::failed(error)
    }
}

/// Adds context to the error of a failed step.
pub trait Context<T> {
    /// Prefixes the error's message with `context`.
    ///
    /// # Errors
    /// The original error with the context; for an `Option`, [`ErrorKind::InvalidInput`] with the context alone.
    fn context(self, context: impl fmt::Display) -> Result<T>;

    /// Like [`Context::context`], with text that is computed only for an error.
    ///
    /// # Errors
    /// As [`Context::context`].
    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::invalid_input(context))
    }

    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::invalid_input(context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_mark_keeps_bad_input_apart_from_what_may_pass() {
        fn parse(text: &str) -> Result<u32> {
            Ok(text.parse::<u32>()?)
        }
        fn wait() -> Result<()> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))?;
            Ok(())
        }
        assert_eq!(parse("x").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(wait().unwrap_err().kind(), ErrorKind::Retryable);
        assert_eq!(Error::from(io::Error::other("disk")).kind(), ErrorKind::Failed);
    }

    #[test]
    fn context_keeps_the_kind_and_leads_the_message() {
        let error = "x".parse::<u32>().context("row 7").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "row 7: invalid digit found in string");
        let absent: Option<u8> = None;
        assert_eq!(absent.with_context(|| "no rows").unwrap_err(), Error::invalid_input("no rows"));
    }
}
