//! Giving up root.

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
    /// Further groups, such as those that may open the GPU.
    pub groups: Vec<u32>,
}

impl User {
    /// The user that owns nothing on most systems.
    pub const NOBODY: u32 = 65534;

    /// A user without further groups.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self { id, groups: Vec::new() }
    }
}

/// Becomes `user` for good, with all threads, and returns its id. `None` when this process is not root, or is root only in
/// name, as in a user namespace that does not know the id.
///
/// # Errors
/// [`Error`] when only a part of the change was made.
pub fn user(user: &User) -> Result<Option<u32>, Error> {
    if !geteuid().is_root() || user.id == 0 {
        return Ok(None);
    }
    let groups: Vec<Gid> = user.groups.iter().map(|id| Gid::from_raw(*id)).collect();
    let (uid, gid) = (Uid::from_raw(user.id), Gid::from_raw(user.id));
    match setgroups(&groups).and_then(|()| setresgid(gid, gid, gid)) {
        Ok(()) => {}
        Err(Errno::EPERM | Errno::EINVAL | Errno::ENOSYS) => return Ok(None),
        Err(error) => return Err(Error::new("another group", error)),
    }
    setresuid(uid, uid, uid).map_err(|error| Error::new("another user", error))?;
    if geteuid().is_root() {
        return Err(Error::new("another user", "the process is still root"));
    }
    Ok(Some(user.id))
}
