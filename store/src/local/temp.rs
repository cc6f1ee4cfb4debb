//! Temporary files of one process, on the same file system as the objects.
//!
//! Each process has its own folder under `.tmp`, marked as alive by a lock on a file next to it. Opening a store
//! removes the folders without a lock holder, so that the files of a crashed process are removed and those of other
//! processes stay (tested in `tests/store/planted.rs`).

use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The folder of temporary folders, in the root.
pub(super) const FOLDER: &str = ".tmp";
/// Maximum attempts to find a free name.
const TRIES: u32 = 100;

/// The folder of this process.
#[derive(Debug)]
pub(super) struct Temp {
    all: Dir,
    own: Dir,
    name: String,
    /// Holds the lock until dropped.
    _alive: std::fs::File,
    next: AtomicU64,
}

/// A file that is removed unless it is committed.
#[derive(Debug)]
pub(super) struct TempFile {
    temp: Arc<Temp>,
    pub(super) name: String,
    pub(super) file: std::fs::File,
    gone: bool,
}

fn exclusive() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options
}

impl Temp {
    /// Creates this process's folder and removes those of ended processes.
    pub(super) fn open(root: &Dir) -> io::Result<Self> {
        root.create_dir_all(FOLDER)?;
        let all = root.open_dir(FOLDER)?;
        sweep(&all)?;
        for _ in 0..TRIES {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
            let name = format!("{}-{nanos:x}", std::process::id());
            let lock = format!("{name}.lock");
            let file = match all.open_with(&lock, &exclusive()) {
                Ok(file) => file.into_std(),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            };
            // Another process may hold the lock briefly while it sweeps, and remove the file. Another name is tried
            // then.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() || !all.try_exists(&lock)? {
                continue;
            }
            all.create_dir(&name)?;
            let own = all.open_dir(&name)?;
            return Ok(Self { all, own, name, _alive: file, next: AtomicU64::new(0) });
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "found no free name for a temporary folder"))
    }

    /// Creates an empty file.
    pub(super) fn file(self: &Arc<Self>) -> io::Result<TempFile> {
        let name = format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        let file = self.own.open_with(&name, &exclusive())?.into_std();
        Ok(TempFile { temp: Arc::clone(self), name, file, gone: false })
    }
}

impl TempFile {
    /// Moves the file to `name` in `to`, and replaces an existing file.
    pub(super) fn rename_to(&mut self, to: &Dir, name: &str) -> io::Result<()> {
        self.temp.own.rename(&self.name, to, name)?;
        self.gone = true;
        Ok(())
    }

    /// Links the file as `name` in `to`. Fails if the name exists.
    pub(super) fn link_to(&self, to: &Dir, name: &str) -> io::Result<()> {
        self.temp.own.hard_link(&self.name, to, name)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.temp.own.remove_file(&self.name);
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = self.all.remove_dir_all(&self.name);
        let _ = self.all.remove_file(format!("{}.lock", self.name));
    }
}

/// Removes the folders of ended processes.
fn sweep(all: &Dir) -> io::Result<()> {
    for entry in all.entries()? {
        let entry = entry?;
        let Ok(lock) = entry.file_name().into_string() else { continue };
        let Some(name) = lock.strip_suffix(".lock") else { continue };
        let Ok(file) = entry.open() else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match all.remove_dir_all(name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let _ = all.remove_file(&lock);
        }
    }
    Ok(())
}
