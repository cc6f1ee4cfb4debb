//! The blocking half of the local store. Every file is opened through the root's handle, and links are not followed.

use super::{
    names,
    temp::{self, Temp, TempFile},
};
use cap_std::fs::{Dir, OpenOptions};
use object_store::{Error, ObjectMeta, PutMode, PutResult, Result, path::Path};
use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock};
use std::{
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path as FsPath,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Maximum attempts of an operation if a folder is created or deleted concurrently.
const TRIES: u32 = 16;
/// The lock file that makes compare-and-set atomic, also between processes.
const UPDATE_LOCK: &str = ".tmp/update";

/// An opened root folder.
#[derive(Debug)]
pub(super) struct Root {
    dir: Dir,
    temp: Arc<Temp>,
    durable: bool,
    /// The last assigned modification time, in nanoseconds since 1970. Each is later than the one before, so that an
    /// entity tag is never reused.
    clock: AtomicU64,
}

/// Converts an I/O error to the matching error of the trait.
pub(super) fn wrap(path: &Path, error: io::Error) -> Error {
    let path = path.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Error::NotFound { path, source: Box::new(error) }
        }
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(error) },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: Box::new(error) },
        _ => Error::Generic { store: "local", source: Box::new(error) },
    }
}

fn nanos(metadata: &std::fs::Metadata) -> u64 {
    let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(metadata.mtime_nsec()).unwrap_or(0))
}

/// Returns the entity tag of a file.
pub(super) fn etag(metadata: &std::fs::Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}\"", metadata.ino(), nanos(metadata), metadata.len())
}

/// Returns the metadata of a file as required by the trait.
pub(super) fn describe(location: Path, metadata: &std::fs::Metadata) -> ObjectMeta {
    let modified = UNIX_EPOCH + Duration::from_nanos(nanos(metadata));
    ObjectMeta {
        location,
        last_modified: modified.into(),
        size: metadata.len(),
        e_tag: Some(etag(metadata)),
        version: None,
    }
}

impl Root {
    /// Opens the folder `path`. Creates it if it does not exist.
    pub(super) fn open(path: &FsPath, durable: bool) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let dir = Dir::open_ambient_dir(path, cap_std::ambient_authority())?;
        let temp = Arc::new(Temp::open(&dir)?);
        Ok(Self { dir, temp, durable, clock: AtomicU64::new(0) })
    }

    /// Opens `path` below the root without following links.
    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<std::fs::File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::RDONLY;
        #[cfg(target_os = "linux")]
        for _ in 0..TRIES {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd.into()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => break,
                Err(e) => return Err(e.into()),
            }
        }
        self.open_slowly(path, flags)
    }

    /// The fallback for kernels without `openat2`: opens one folder after the other.
    fn open_slowly(&self, path: &str, flags: OFlags) -> io::Result<std::fs::File> {
        let mut at: std::fs::File = self.dir.try_clone()?.into_std_file();
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let step = if names.peek().is_some() { OFlags::DIRECTORY | OFlags::CLOEXEC } else { flags };
            at = rustix::fs::openat(&at, name, step | OFlags::NOFOLLOW, Mode::empty())?.into();
        }
        Ok(at)
    }

    /// Opens a folder, given its path on disk.
    pub(super) fn open_folder(&self, path: &str) -> io::Result<Dir> {
        Ok(Dir::from_std_file(self.open_at(path, OFlags::DIRECTORY)?))
    }

    /// Opens an object for reading.
    pub(super) fn open_object(&self, path: &Path) -> Result<(std::fs::File, std::fs::Metadata)> {
        let missing = || wrap(path, io::ErrorKind::NotFound.into());
        let (folder, name) = names::on_disk(path).ok_or_else(missing)?;
        // NONBLOCK, so that a planted pipe cannot block the caller.
        let open = || {
            let file = self.open_at(&format!("{folder}/{name}"), OFlags::NONBLOCK)?;
            let metadata = file.metadata()?;
            io::Result::Ok((file, metadata))
        };
        match open() {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata)),
            Ok(_) => Err(missing()),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Err(missing()),
            Err(e) => Err(wrap(path, e)),
        }
    }

    /// Creates a temporary file.
    pub(super) fn temp(&self) -> io::Result<TempFile> {
        self.temp.file()
    }

    /// Writes an object from bytes in memory.
    pub(super) fn put<'a>(
        &self,
        path: &Path,
        parts: impl Iterator<Item = &'a bytes::Bytes>,
        mode: &PutMode,
    ) -> Result<PutResult> {
        let temp = self.temp().map_err(|e| wrap(path, e))?;
        let mut offset = 0;
        for part in parts {
            temp.file.write_all_at(part, offset).map_err(|e| wrap(path, e))?;
            offset += part.len() as u64;
        }
        self.commit(temp, path, mode)
    }

    /// Turns a temporary file into the object `path`.
    pub(super) fn commit(&self, temp: TempFile, path: &Path, mode: &PutMode) -> Result<PutResult> {
        let (folder, name) = names::on_disk(path)
            .ok_or_else(|| wrap(path, io::Error::new(io::ErrorKind::InvalidInput, "the root is not an object")))?;
        let io = |e| wrap(path, e);
        temp.file.set_modified(self.next_time()).map_err(io)?;
        if self.durable {
            temp.file.sync_all().map_err(io)?;
        }
        let e_tag = Some(etag(&temp.file.metadata().map_err(io)?));
        let lock = match mode {
            PutMode::Create => None,
            PutMode::Overwrite => Some(self.lock(FlockOperation::LockShared).map_err(io)?),
            PutMode::Update(_) => Some(self.lock(FlockOperation::LockExclusive).map_err(io)?),
        };
        if let PutMode::Update(version) = mode {
            let there = match self.open_object(path) {
                Ok((_, metadata)) => Some(etag(&metadata)),
                Err(Error::NotFound { .. }) => None,
                Err(e) => return Err(e),
            };
            if there.is_none() || there != version.e_tag {
                let source = format!("{there:?} does not match {:?}", version.e_tag).into();
                return Err(Error::Precondition { path: path.to_string(), source });
            }
        }
        let parent = self.place(temp, &folder, &name, matches!(mode, PutMode::Create)).map_err(io)?;
        drop(lock);
        if self.durable {
            sync(&parent).map_err(io)?;
        }
        Ok(PutResult { e_tag, version: None, extensions: Default::default() })
    }

    /// Gives the file its name and creates its folders, which a concurrent delete may remove again.
    fn place(&self, mut temp: TempFile, folder: &str, name: &str, create: bool) -> io::Result<Dir> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for _ in 0..TRIES {
            let parent = match self.open_folder(folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    match self.make_folders(folder) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                        _ => {}
                    }
                    continue;
                }
                other => other?,
            };
            // A link keeps the temporary file for another attempt. Its temporary name is removed when `temp` is
            // dropped.
            let placed = if create { temp.link_to(&parent, name) } else { temp.rename_to(&parent, name) };
            match placed {
                Ok(()) => return Ok(parent),
                Err(e) if e.kind() == io::ErrorKind::NotFound => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    fn make_folders(&self, folder: &str) -> io::Result<()> {
        self.dir.create_dir_all(folder)?;
        if self.durable {
            let mut path = folder;
            while let Some((parent, _)) = path.rsplit_once('/') {
                sync(&self.open_folder(parent)?)?;
                path = parent;
            }
            // The root's own handle is a path handle and cannot be synced.
            sync(&self.open_folder(".")?)?;
        }
        Ok(())
    }

    /// Deletes an object, and its folders as far as they are empty.
    pub(super) fn delete(&self, path: &Path) -> Result<()> {
        let io = |e| wrap(path, e);
        self.open_object(path)?;
        let Some((folder, name)) = names::on_disk(path) else { return Ok(()) };
        let lock = self.lock(FlockOperation::LockShared).map_err(io)?;
        let parent = self.open_folder(&folder).map_err(io)?;
        parent.remove_file(&name).map_err(io)?;
        if self.durable {
            sync(&parent).map_err(io)?;
        }
        drop(lock);
        let mut rest = folder.as_str();
        while rest != "." && self.dir.remove_dir(rest).is_ok() {
            rest = rest.rsplit_once('/').map_or(".", |(parent, _)| parent);
        }
        Ok(())
    }

    fn lock(&self, operation: FlockOperation) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = self.dir.open_with(UPDATE_LOCK, &options)?.into_std();
        loop {
            match flock(&file, operation) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(|()| file).map_err(Into::into),
            }
        }
    }

    fn next_time(&self) -> SystemTime {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let now = u64::try_from(now).unwrap_or(u64::MAX >> 1);
        let before = self.clock.fetch_max(now, Ordering::Relaxed);
        let time = if before < now { now } else { self.clock.fetch_add(1, Ordering::Relaxed) + 1 };
        UNIX_EPOCH + Duration::from_nanos(time)
    }

    /// Returns `true` if a folder on disk is the store's own.
    pub(super) fn is_own(name: &str) -> bool {
        name == temp::FOLDER
    }
}

fn sync(dir: &Dir) -> io::Result<()> {
    dir.try_clone()?.into_std_file().sync_all()
}
