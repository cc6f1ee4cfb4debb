//! Reads ranges of one version of an object: from the page cache on the calling thread if possible, otherwise from the
//! blocking pool or the network, with one block of read-ahead.

use crate::{Error, ObjectPath, Objects, local::OpenObject};
use bytes::Bytes;
use std::{fs::File, io, io::IoSliceMut, ops::Range, os::unix::fs::FileExt as _, sync::Arc};
use tokio_util::task::AbortOnDropHandle;

/// Block size of a local object in bytes. Two blocks fit into a core's second-level cache.
const LOCAL_BLOCK: u64 = 256 << 10;
/// Block size of a remote object in bytes.
const REMOTE_BLOCK: u64 = 1 << 20;

/// One version of an object.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    objects: Objects,
    pub(crate) path: ObjectPath,
    pub(crate) etag: Arc<str>,
    pub(crate) size: u64,
    file: Option<Arc<File>>,
}

impl Source {
    /// Opens the current version of an object.
    pub(crate) async fn current(objects: &Objects, path: &ObjectPath) -> Result<Self, Error> {
        if let Some(open) = objects.open_local(path)? {
            return Ok(Self::opened(objects, path, open));
        }
        let info = objects.head(path).await?;
        Ok(Self { objects: objects.clone(), path: path.clone(), etag: info.etag.into(), size: info.size, file: None })
    }

    /// Creates a source from an open object.
    pub(crate) fn opened(objects: &Objects, path: &ObjectPath, open: OpenObject) -> Self {
        let info = objects.info(&open.meta);
        let (objects, path, file) = (objects.clone(), path.clone(), Some(open.file));
        Self { objects, path, etag: info.etag.into(), size: info.size, file }
    }

    /// Opens the version `etag`, for reads before `end`. Does not send a request to a remote store.
    pub(crate) fn version(objects: &Objects, path: &ObjectPath, etag: &Arc<str>, end: u64) -> Result<Self, Error> {
        let changed = || Error::InputChanged { path: path.as_str().to_owned() };
        let file = match objects.open_local(path) {
            Ok(None) => None,
            Ok(Some(open)) => {
                let info = objects.info(&open.meta);
                if *info.etag != **etag || info.size < end {
                    return Err(changed());
                }
                Some(open.file)
            }
            Err(Error::NotFound { .. }) => return Err(changed()),
            Err(e) => return Err(e),
        };
        Ok(Self { objects: objects.clone(), path: path.clone(), etag: Arc::clone(etag), size: end, file })
    }

    fn block(&self) -> u64 {
        if self.file.is_some() { LOCAL_BLOCK } else { REMOTE_BLOCK }
    }

    /// Returns the bytes of `range` if they are in the page cache. Reuses the memory of `spare` if it has no other
    /// owner.
    fn cached(&self, range: &Range<u64>, spare: Bytes) -> Option<Bytes> {
        in_page_cache(self.file.as_deref()?, range, spare)
    }

    /// Reads all bytes of `range`.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        if let Some(bytes) = self.cached(&range, Bytes::new()) {
            return Ok(bytes);
        }
        let Some(file) = self.file.clone() else {
            return self.objects.read_version(&self.path, &self.etag, range).await;
        };
        let read = tokio::task::spawn_blocking(move || {
            let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
            let mut buffer = vec![0; len];
            file.read_exact_at(&mut buffer, range.start)?;
            io::Result::Ok(Bytes::from(buffer))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok(bytes) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::InputChanged { path: self.path.as_str().to_owned() })
            }
            Err(e) => Err(Error::io("read", self.path.as_str(), e)),
        }
    }
}

/// Reads without waiting for a disk. Returns `None` if that is not possible.
#[cfg(target_os = "linux")]
fn in_page_cache(file: &File, range: &Range<u64>, spare: Bytes) -> Option<Bytes> {
    let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
    let mut buffer = spare.try_into_mut().unwrap_or_default();
    buffer.resize(len, 0);
    let mut done = 0;
    while done < len {
        let rest = buffer.get_mut(done..)?;
        let at = range.start + done as u64;
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(rest)], at, rustix::io::ReadWriteFlags::NOWAIT) {
            Ok(0) => return None,
            Ok(read) => done += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(buffer.freeze())
}

#[cfg(not(target_os = "linux"))]
fn in_page_cache(_: &File, _: &Range<u64>, _: Bytes) -> Option<Bytes> {
    None
}

/// A range that is read block by block, with at most one block of read-ahead.
#[derive(Debug)]
pub(crate) struct Blocks {
    source: Source,
    /// The range that was not returned yet.
    left: Range<u64>,
    /// The read-ahead of the block that begins at `left.start`.
    ahead: Option<AbortOnDropHandle<Result<Bytes, Error>>>,
    /// The last block from the page cache. Its memory is reused for the next block if the reader has dropped it.
    last: Bytes,
}

impl Blocks {
    pub(crate) fn new(source: Source, range: Range<u64>) -> Self {
        Self { source, left: range, ahead: None, last: Bytes::new() }
    }

    fn next_range(&self) -> Range<u64> {
        self.left.start..self.left.end.min(self.left.start.saturating_add(self.source.block()))
    }

    /// Returns the next block, or `None` at the end. After an error or a cancelled call the same block is read again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let range = self.next_range();
        if range.is_empty() {
            return Ok(None);
        }
        let end = range.end;
        let bytes = if let Some(ahead) = &mut self.ahead {
            let read = ahead.await;
            self.ahead = None;
            read.map_err(|e| Error::io("read", self.source.path.as_str(), io::Error::other(e)))??
        } else if let Some(bytes) = self.source.cached(&range, std::mem::take(&mut self.last)) {
            self.left.start = end;
            self.last = bytes.clone();
            return Ok(Some(bytes));
        } else {
            self.source.read(range).await?
        };
        self.left.start = end;
        let next = self.next_range();
        if !next.is_empty() {
            let source = self.source.clone();
            self.ahead = Some(AbortOnDropHandle::new(tokio::spawn(async move { source.read(next).await })));
        }
        Ok(Some(bytes))
    }
}
