//! Takes rights away from a worker process before it reads a tenant's bytes.
//!
//! Three independent measures, each for the calling process:
//! - [`user`] gives up root for an unprivileged user;
//! - [`files`] limits which files can be opened (Landlock), and with it TCP ports and signals to other processes;
//! - [`calls`] limits which system calls can be made (seccomp).
//!
//! Landlock and seccomp bind the calling thread and the threads it starts later, so call them before any other thread is
//! there. A kernel that lacks a measure is not an error: the returned [`Status`] says what is in force.

mod calls;
mod files;
mod user;

pub use calls::{Calls, calls};
pub use files::{Files, files};
pub use user::{User, user};

use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// How far a measure is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// The kernel has nothing of it, or the process has no right to it.
    #[default]
    None,
    /// An older kernel has some of it.
    Partial,
    /// All of it.
    Full,
}

/// What binds a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Landlock.
    pub files: Enforcement,
    /// Seccomp.
    pub calls: Enforcement,
    /// The user it runs as, where it gave up root.
    pub uid: Option<u32>,
}

impl Status {
    /// Whether both kernel mechanisms are in force, the first of them at least in part.
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

/// Why a measure that the kernel has could not be taken.
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

/// Takes all three measures for a worker that only computes: no file, no socket, no other process.
///
/// # Errors
/// [`Error`] when the kernel has a measure and refuses it.
pub fn compute_only(worker: Option<&User>) -> Result<Status, Error> {
    let uid = match worker {
        Some(worker) => user(worker)?,
        None => None,
    };
    let files = files(&Files::default())?;
    let calls = calls(Calls::Compute)?;
    Ok(Status { files, calls, uid })
}
