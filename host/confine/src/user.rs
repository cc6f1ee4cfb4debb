//! Dropping root privileges.

use crate::Error;
use nix::{
    errno::Errno,
    unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid},
};
use serde::{Deserialize, Serialize};

/// An unprivileged user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User and group id.
    pub id: u32,
    /// Supplementary groups, such as those that may open the GPU.
    pub groups: Vec<u32>,
}

impl User {
    /// User ID of `nobody` on most systems.
    pub const NOBODY: u32 = 65534;

    /// Creates a user without supplementary groups.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self { id, groups: Vec::new() }
    }
}

/// Switches all threads of this process to `user` permanently and returns its ID. Returns `None` if this process is not
/// root, or if it is root only inside a user namespace that does not map the ID.
///
/// # Errors
/// [`Error`] if the switch fails or completes only in part.
pub fn user(user: &User) -> Result<Option<u32>, Error> {
    if !geteuid().is_root() || user.id == 0 {
        return Ok(None);
    }
    let groups: Vec<Gid> = user.groups.iter().map(|id| Gid::from_raw(*id)).collect();
    let (uid, gid) = (Uid::from_raw(user.id), Gid::from_raw(user.id));
    match setgroups(&groups).and_then(|()| setresgid(gid, gid, gid)) {
        Ok(()) => {}
        Err(Errno::EPERM | Errno::EINVAL | Errno::ENOSYS) => return Ok(None),
        Err(error) => return Err(Error::new("the unprivileged group", error)),
    }
    setresuid(uid, uid, uid).map_err(|error| Error::new("the unprivileged user", error))?;
    if geteuid().is_root() {
        return Err(Error::new("the unprivileged user", "the process is still root"));
    }
    Ok(Some(user.id))
}
