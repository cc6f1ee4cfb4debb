//! Errors that prevent the sandbox from starting. A failure of one call is a [`fabric_types::Fault`] instead.

use std::path::PathBuf;

/// An error that prevents the sandbox from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine rejected its settings.
    #[error("the WebAssembly engine can't start: {0}")]
    Engine(String),
    /// Not even the smallest instance pool fits into the address space.
    #[error("no pool of instances fits into this machine's address space: {0}")]
    Pool(String),
    /// A file or folder in the data folder can't be used.
    #[error("{path}: {source}")]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The artefact key is not 32 bytes.
    #[error("{0} is not an artefact key: delete it, and modules are compiled again")]
    Key(PathBuf),
    /// The operating system provided no randomness.
    #[error("no randomness for the artefact key: {0}")]
    Random(String),
}

impl Error {
    /// Reports whether starting again may succeed. Always `false`: each error requires a change of settings or of the
    /// machine.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}
