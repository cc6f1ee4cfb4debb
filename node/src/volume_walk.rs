//! Sizes of tenants' volumes: the content of their folders at any depth, and deleted files that are still open.

use fabric_types::{id::TenantId, storage::ENTRY_BYTES};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat},
    io::Errno,
};
use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Bytes assumed for data that cannot be read.
const UNSEEN_BYTES: u64 = 1 << 30;

/// Identity of a folder: device and inode.
type FolderId = (u64, u64);

fn id(stat: &Stat) -> FolderId {
    (stat.st_dev, stat.st_ino)
}

/// A folder on the current path of the walk.
struct Level {
    id: FolderId,
    /// Subfolders that are not counted yet.
    left: Vec<CString>,
}

/// A walk through a tree of folders. It moves by descriptor, one level at a time, since a guest can create trees deeper
/// than a path can name.
struct Walk {
    bytes: u64,
    entries: usize,
    most: usize,
}

/// Reasons to stop a walk early.
enum Stopped {
    /// There are more entries than the limit.
    TooMany,
    /// The tree was changed during the walk, or cannot be read.
    Lost(Errno),
}

impl Walk {
    /// Counts the direct entries of a folder.
    fn read(&mut self, folder: &OwnedFd) -> Result<Level, Stopped> {
        let stat = fstat(folder).map_err(Stopped::Lost)?;
        let mut left = Vec::new();
        for entry in Dir::read_from(folder).map_err(Stopped::Lost)? {
            let entry = entry.map_err(Stopped::Lost)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // The status of the entry itself; links are not followed.
            let Ok(about) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            self.bytes = self.bytes.saturating_add(ENTRY_BYTES);
            self.entries += 1;
            if self.entries > self.most {
                return Err(Stopped::TooMany);
            }
            if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
                left.push(name.to_owned());
            } else {
                self.bytes = self.bytes.saturating_add(u64::try_from(about.st_size).unwrap_or(0));
            }
        }
        Ok(Level { id: id(&stat), left })
    }

    fn run(&mut self, top: OwnedFd) -> Result<(), Stopped> {
        let mut levels = vec![self.read(&top)?];
        let mut folder = top;
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.left.pop() {
                match open_folder(&folder, &name) {
                    Ok(inner) => {
                        levels.push(self.read(&inner)?);
                        folder = inner;
                    }
                    // It was deleted or replaced in the meantime.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(Stopped::Lost(error)),
                }
                continue;
            }
            levels.pop();
            if let Some(above) = levels.last() {
                let outer = open_folder(&folder, c"..").map_err(Stopped::Lost)?;
                if id(&fstat(&outer).map_err(Stopped::Lost)?) != above.id {
                    return Err(Stopped::Lost(Errno::STALE));
                }
                folder = outer;
            }
        }
        Ok(())
    }
}

fn open_folder(from: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(from, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Maximum attempts to walk a tree that changes.
const TRIES: usize = 3;

/// Returns the bytes of a folder and its content, or `None` if it has more entries than `most`. Links are not followed.
/// Data that cannot be read counts as 1 GiB.
pub(crate) fn walk(folder: &Path, most: usize) -> Option<u64> {
    let mut last = Errno::STALE;
    let mut counted = 0;
    for _ in 0..TRIES {
        let top = match open_folder(CWD, folder) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Some(0),
            Err(error) => {
                last = error;
                break;
            }
        };
        let mut walk = Walk { bytes: 0, entries: 0, most };
        match walk.run(top) {
            Ok(()) => return Some(walk.bytes),
            Err(Stopped::TooMany) => return None,
            Err(Stopped::Lost(error)) => (last, counted) = (error, walk.bytes),
        }
    }
    tracing::warn!(error = %last, "failed to count part of a volume, assuming 1 GiB");
    Some(counted.saturating_add(UNSEEN_BYTES))
}

/// Returns the bytes of files that guests of this process deleted and still have open. If the system cannot determine
/// the tenant of a file, each of `writers` is charged for it.
pub(crate) fn removed_but_open(root: &Path, writers: &HashSet<TenantId>) -> HashMap<TenantId, u64> {
    let mut found = HashMap::new();
    let Ok(root) = root.canonicalize() else { return found };
    let Ok(device) = std::fs::metadata(&root).map(|meta| meta.dev()) else { return found };
    let mut seen = HashSet::new();
    for entry in std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        // The status of the open file, independent of its name.
        let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
        if meta.nlink() > 0 || !meta.is_file() || meta.dev() != device || !seen.insert(meta.ino()) {
            continue;
        }
        let mut charge = |tenant: TenantId| *found.entry(tenant).or_default() += meta.len().saturating_add(ENTRY_BYTES);
        match std::fs::read_link(entry.path()) {
            Ok(path) => {
                let first = path.strip_prefix(&root).ok().and_then(|inner| inner.components().next());
                if let Some(tenant) = first.and_then(|name| TenantId::new(name.as_os_str().to_str()?).ok()) {
                    charge(tenant);
                }
            }
            // The path is too long.
            Err(_) => writers.iter().cloned().for_each(charge),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    #[test]
    fn a_walk_counts_files_folders_and_links_and_follows_none() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("t/v");
        std::fs::create_dir_all(volume.join("deep/er")).unwrap();
        std::fs::write(volume.join("deep/er/file"), vec![0; 10_000]).unwrap();
        std::os::unix::fs::symlink("/usr", volume.join("out")).unwrap();
        // The volume, two folders, the file, and the link with its text.
        assert_eq!(walk(&dir.path().join("t"), 5), Some(5 * ENTRY_BYTES + 10_000 + 4));
        assert_eq!(walk(&dir.path().join("t"), 4), None);
        assert_eq!(walk(&dir.path().join("absent"), 0), Some(0));
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_counted_to_its_bottom() {
        const DEPTH: u64 = 5_000;
        let dir = tempfile::tempdir().unwrap();
        let mut at = open_folder(CWD, dir.path()).unwrap();
        for _ in 0..DEPTH {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open_folder(&at, "d").unwrap();
        }
        let file = openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        rustix::fs::ftruncate(&file, 1_000_000).unwrap();
        assert_eq!(walk(dir.path(), usize::MAX), Some((DEPTH + 1) * ENTRY_BYTES + 1_000_000));
        // Removed by descriptor, since the usual ways to remove a tree use paths.
        rustix::fs::unlinkat(&at, "f", AtFlags::empty()).unwrap();
        while let Ok(above) = open_folder(&at, "..") {
            if rustix::fs::unlinkat(&above, "d", AtFlags::REMOVEDIR).is_err() {
                break;
            }
            at = above;
        }
        assert_eq!(walk(dir.path(), usize::MAX), Some(0));
    }

    #[test]
    fn removed_files_count_while_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("t/v");
        std::fs::create_dir_all(&folder).unwrap();
        let open = std::fs::File::create(folder.join("f")).unwrap();
        open.set_len(10_000).unwrap();
        assert!(removed_but_open(dir.path(), &HashSet::new()).is_empty());
        std::fs::remove_file(folder.join("f")).unwrap();
        let tenant = TenantId::new("t").unwrap();
        let found = removed_but_open(dir.path(), &HashSet::new());
        assert_eq!(found, HashMap::from([(tenant, 10_000 + ENTRY_BYTES)]));
        drop(open);
        assert!(removed_but_open(dir.path(), &HashSet::new()).is_empty());
    }
}
