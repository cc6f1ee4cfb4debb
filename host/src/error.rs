//! Why the sandbox could not start. What goes wrong with one call is a [`fabric_types::Fault`] instead.

use std::path::PathBuf;

/// Why the sandbox could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused its settings.
    #[error("the WebAssembly engine can't start: {0}")]
    Engine(String),
    /// Not even the smallest pool of instances fits into the address space.
    #[error("no pool of instances fits into this machine's address space: {0}")]
    Pool(String),
    /// A file or folder of the data folder can't be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The artefact key is not 32 bytes.
    #[error("{0} is not an artefact key: delete it, and compiled modules are made again")]
    Key(PathBuf),
    /// The operating system gave no randomness.
    #[error("no randomness for the artefact key: {0}")]
    Random(String),
}

impl Error {
    /// Whether starting again may help. It never does without a change of settings or machine.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}
