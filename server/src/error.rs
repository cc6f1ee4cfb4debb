//! The error of a server process: a code, a message and a hint. The CLI turns it into the failure of a command.

use fabric_types::{Code, Fault, code::Exit};

/// The reason why a process could not start or had to end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The text of a [`Code`], or one of `usage`, `config`, `io` and `failed`.
    pub code: &'static str,
    /// Description of the error.
    pub message: String,
    /// Suggested next step.
    pub hint: Option<String>,
    /// Exit status of the process.
    pub exit: Exit,
    #[source]
    source: Option<std::io::Error>,
}

impl Error {
    fn new(code: &'static str, message: impl Into<String>, exit: Exit) -> Self {
        Self { code, message: message.into(), hint: None, exit, source: None }
    }

    /// Creates an error for a wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message, Exit::Usage)
    }

    /// Creates an error for a wrong setting.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new("config", message, Exit::Usage)
    }

    /// Creates an error of this machine or process.
    pub(crate) fn local(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, message, Exit::Failed)
    }

    /// Creates an error with the exit status that belongs to `code`.
    pub(crate) fn coded(code: Code, message: impl Into<String>) -> Self {
        Self::new(code.as_str(), message, code.exit())
    }

    /// Creates an error that is not expected to occur while doing `what`.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        Self::coded(Code::Internal, format!("{what}: {error}"))
    }

    /// Creates an error of reading or writing `what`.
    pub(crate) fn io(what: impl std::fmt::Display, error: std::io::Error) -> Self {
        if fabric_types::disk::is_full(&error) {
            return Self::coded(Code::DiskFull, format!("{what}: the disk is full"))
                .hint("free disk space and try again");
        }
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        let message = format!("{what}: {error}");
        Self { source: Some(error), ..Self::new("io", message, exit) }
    }

    /// Creates an error of listening on an address.
    pub(crate) fn listening(address: std::net::SocketAddr, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return Self::coded(Code::Conflict, format!("listening on {address}: another process has this port"))
                .hint("stop that one, or name another port: --listen ADDR:PORT, port 0 takes a free one");
        }
        Self::io(format!("listening on {address}"), error)
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { hint: fault.hint, ..Self::coded(fault.code, fault.message) }
    }
}

impl From<fabric_backend::Error> for Error {
    fn from(error: fabric_backend::Error) -> Self {
        Fault::from(error).into()
    }
}
