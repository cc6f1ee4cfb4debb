//! The data folder: one process uses it at a time, and only its user can read its tokens, keys and databases.

use crate::Error;
use fabric_types::Code;
use std::{
    fs::{DirBuilder, File, Metadata, Permissions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

/// Creates the folder for this user only, or removes the permissions of others from an existing one. Keeps other
/// processes out while the returned file is open.
pub(super) fn acquire(path: &Path) -> Result<File, Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::io(format!("creating the data folder `{}`", path.display()), e))?;
    if path.join("cluster.json").exists() {
        return Err(Error::config(format!("`{}` is the folder of a `fabric cluster`", path.display()))
            .hint("give this process a folder of its own: --data DIR"));
    }
    let lock = lock(path)?;
    restrict(path);
    Ok(lock)
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Error::io(path.display(), e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::coded(Code::Conflict, format!("`{}` is in use by another `fabric serve`", folder.display()))
                .hint("stop that one, or give this process a data folder of its own: --data DIR"))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(path.display(), e)),
    }
}

/// File names in a data folder. One of them is enough to recognise it.
const DATA_FOLDER_FILES: [&str; 5] = ["admin-token", "state.db", "index.db", "sandbox", "server.json"];
/// The lock file. [`acquire`] creates it before it calls [`restrict`].
const LOCK: &str = "lock";

fn is_open(of: &Metadata) -> bool {
    of.permissions().mode() & 0o077 != 0
}

/// Removes the permissions of other users from a folder and its direct entries. A folder with other content than a
/// server's data is left unchanged, because others may use it. A failure, as on some mounted volumes, is logged: then
/// the operator has to restrict the folder where it is mounted.
fn restrict(folder: &Path) {
    let problem = match try_restrict(folder) {
        Ok(Restriction::Unchanged) => return,
        Ok(Restriction::Restricted) => {
            tracing::warn!(folder = %folder.display(), "removed other users' access to the data folder");
            return;
        }
        Ok(Restriction::Foreign) => "it contains other files than a server's data".to_owned(),
        Err(e) => e.to_string(),
    };
    tracing::warn!(folder = %folder.display(), problem, "the data folder can be read by others; give it mode 0700");
}

/// The result of restricting a folder.
#[derive(Debug, PartialEq, Eq)]
enum Restriction {
    /// It was restricted before.
    Unchanged,
    /// It was open and is restricted now.
    Restricted,
    /// It is open and is not a data folder.
    Foreign,
}

fn try_restrict(folder: &Path) -> std::io::Result<Restriction> {
    let mut found = Restriction::Unchanged;
    let entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    let named = |names: &[&str]| entries.iter().any(|e| names.iter().any(|name| e.file_name() == *name));
    let is_new = entries.iter().all(|e| e.file_name() == "lost+found" || e.file_name() == LOCK);
    if !is_new && !named(&DATA_FOLDER_FILES) {
        return Ok(if is_open(&std::fs::metadata(folder)?) { Restriction::Foreign } else { Restriction::Unchanged });
    }
    if is_open(&std::fs::metadata(folder)?) {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        found = Restriction::Restricted;
    }
    for entry in &entries {
        // Metadata of the entry itself, not of a link's target.
        let about = entry.metadata()?;
        if is_open(&about) && !about.is_symlink() && entry.file_name() != "lost+found" {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(about.permissions().mode() & 0o700))?;
            found = Restriction::Restricted;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn open(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn one_process_has_a_folder_and_a_fleets_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let held = acquire(folder.path()).unwrap();
        let refused = acquire(folder.path()).expect_err("another process has it");
        assert!(refused.message.contains("is in use by another `fabric serve`"), "{}", refused.message);
        assert_eq!(refused.code, "conflict");
        drop(held);
        drop(acquire(folder.path()).unwrap());
        std::fs::write(folder.path().join("cluster.json"), "{}").unwrap();
        let refused = acquire(folder.path()).expect_err("a fleet has it");
        assert!(refused.message.contains("is the folder of a `fabric cluster`"), "{}", refused.message);
    }

    #[test]
    fn a_servers_folder_is_closed_and_anything_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path(), folder.path().join("notes"));
        open(data, 0o755);
        assert_eq!(try_restrict(data).unwrap(), Restriction::Restricted, "an empty one is taken");
        std::fs::write(&file, "x").unwrap();
        open(data, 0o777);
        open(&file, 0o644);
        assert_eq!(try_restrict(data).unwrap(), Restriction::Foreign, "this may be somebody else's");
        assert_eq!((mode(data), mode(&file)), (0o777, 0o644));
        std::fs::write(data.join("state.db"), "x").unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        open(outside.path(), 0o644);
        std::os::unix::fs::symlink(outside.path(), data.join("link")).unwrap();
        assert_eq!(try_restrict(data).unwrap(), Restriction::Restricted);
        assert_eq!(try_restrict(data).unwrap(), Restriction::Unchanged);
        assert_eq!((mode(data), mode(&file), mode(outside.path())), (0o700, 0o600, 0o644));
    }
}
