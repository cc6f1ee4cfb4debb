//! Drops the privileges of a worker process before it reads a tenant's bytes.
//!
//! Three independent measures, each for the calling process:
//! - [`user()`] switches from root to an unprivileged user;
//! - [`files()`] limits the files that can be opened (Landlock), and with them TCP ports and signals to other processes;
//! - [`calls()`] limits the system calls that can be made (seccomp).
//!
//! Landlock and seccomp apply to the calling thread and to threads it starts later. Call them before starting any other
//! thread. A measure that the kernel does not support is not an error; the returned [`Status`] reports the measures in
//! force.

mod calls;
mod files;
mod user;

pub use calls::{Calls, calls};
pub use files::{Files, files};
pub use user::{User, user};

use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// The degree to which a measure is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// Not in force: the kernel does not support the measure, or the process may not use it.
    #[default]
    None,
    /// Partly in force: the kernel is older than the newest rules.
    Partial,
    /// Fully in force.
    Full,
}

/// The measures in force for a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// State of Landlock.
    pub files: Enforcement,
    /// State of seccomp.
    pub calls: Enforcement,
    /// User that the worker switched to, if it was root before.
    pub uid: Option<u32>,
}

impl Status {
    /// Returns `true` if both kernel mechanisms are in force, Landlock at least in part.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        self.files != Enforcement::None && self.calls != Enforcement::None
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        })
    }
}

/// An error from a measure that the kernel supports but that could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("{measure} can't be enforced: {reason}")]
pub struct Error {
    measure: &'static str,
    reason: String,
}

impl Error {
    fn new(measure: &'static str, reason: impl fmt::Display) -> Self {
        Self { measure, reason: reason.to_string() }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// Applies all three measures to a worker that only computes: no files, no sockets, no other processes.
///
/// # Errors
/// [`Error`] if the kernel supports a measure but rejects it.
pub fn compute_only(worker: Option<&User>) -> Result<Status, Error> {
    let uid = match worker {
        Some(worker) => user(worker)?,
        None => None,
    };
    let files = files(&Files::default())?;
    let calls = calls(Calls::Compute)?;
    Ok(Status { files, calls, uid })
}
