//! The objects of one tenant: put, get, head, list, delete.

use crate::{
    Error, ObjectPath, ObjectPrefix, Reservation,
    account::{Account, object_bytes},
    error::{BoxError, UNSTORABLE},
    input::Source,
    listing,
    local::OpenObject,
    staging,
    store::Backend,
};
use bytes::{Bytes, BytesMut};
use fabric_types::{object_path::InvalidObjectPath, rest::object::ObjectInfo};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStoreExt as _, PutMode, PutPayload,
    PutResult, UpdateVersion, path::Path,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// Size in bytes up to which an object is buffered in memory and written in one request. Larger objects are written in
/// parts of this size.
const PART: usize = 8 << 20;
/// Maximum size in bytes of a local object that is read at once, on the calling thread if it is in the page cache.
const INLINE: u64 = 1 << 20;
/// Maximum number of objects in a page of a list.
const MAX_PAGE: usize = 10_000;

/// Conditions of a write. The default replaces any existing object.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Write only if the object does not exist (`If-None-Match: *`).
    pub if_absent: bool,
    /// Write only if the object has this entity tag (`If-Match`), without quotes.
    pub if_match: Option<String>,
    /// Expected size in bytes, if known. A write that exceeds the quota is then refused at once.
    pub expected: Option<u64>,
}

/// Conditions of a read. Entity tags are without quotes.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Read only if the object has this entity tag.
    pub if_match: Option<String>,
    /// Read only if the object does not have this entity tag.
    pub if_none_match: Option<String>,
}

/// A range of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Range {
    /// The whole object.
    #[default]
    Whole,
    /// From the first (inclusive) to the second (exclusive), truncated at the object's end.
    Bytes(u64, u64),
    /// From this offset to the end.
    From(u64),
    /// The last bytes.
    Last(u64),
}

/// An object being read.
pub struct ObjectBody {
    /// The object's metadata.
    pub info: ObjectInfo,
    /// The range of the returned bytes.
    pub range: std::ops::Range<u64>,
    /// The bytes, in pieces.
    pub stream: BoxStream<'static, Result<Bytes, Error>>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// Objects, in the order described for [`Objects::list`].
    pub objects: Vec<ObjectInfo>,
    /// The value of `after` for the next page; `None` on the last.
    pub next: Option<String>,
}

/// The objects of one tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    backend: Backend,
    root: Path,
    account: Account,
}

/// Returns an entity tag in the trait's notation.
pub(crate) fn quoted(etag: &str) -> String {
    if etag.starts_with("W/") || etag == "*" { etag.to_owned() } else { format!("\"{etag}\"") }
}

fn unquoted(etag: Option<&str>) -> String {
    let etag = etag.unwrap_or_default();
    etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(etag).to_owned()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Objects {
    pub(crate) fn new(backend: Backend, root: Path, account: Account) -> Self {
        Self { backend, root, account }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Returns the prefix of every path of the space.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn full(&self, path: &ObjectPath) -> Result<Path, Error> {
        let path = path.as_str();
        Path::parse(format!("{}/{path}", self.root)).map_err(|_| InvalidObjectPath::new(path, UNSTORABLE).into())
    }

    pub(crate) fn info(&self, meta: &ObjectMeta) -> ObjectInfo {
        let path = meta.location.as_ref();
        let path = path.strip_prefix(self.root.as_ref()).and_then(|p| p.strip_prefix('/')).unwrap_or(path);
        ObjectInfo {
            path: path.to_owned(),
            size: meta.size,
            etag: unquoted(meta.e_tag.as_deref()),
            modified_ms: u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0),
        }
    }

    /// Opens an object of a local directory. Returns `None` if the store is not one.
    pub(crate) fn open_local(&self, path: &ObjectPath) -> Result<Option<OpenObject>, Error> {
        match &self.backend {
            Backend::Local(local) => {
                local.open_object(&self.full(path)?).map(Some).map_err(|e| Error::from_store("open", path.as_str(), e))
            }
            Backend::Memory(_) | Backend::S3(_) => Ok(None),
        }
    }

    /// Writes an object from a stream, with at most a few parts of 8 MiB in memory. The object is visible only after
    /// the end. Dropping the future removes partial data in a local directory. On S3 it may leave an unfinished upload,
    /// for which the bucket needs a life-cycle rule, or a staged object, which is swept after a day.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] if a condition does not hold, [`Error::Body`] if the stream fails,
    /// [`Error::OverQuota`] or [`Error::DiskFull`] if there is no room, [`Error::NotSupported`] for `if_match` with
    /// more than 8 MiB on any store but a local directory, [`Error::Backend`] if the store fails.
    pub async fn put<S, E>(&self, path: &ObjectPath, body: S, options: PutOptions) -> Result<ObjectInfo, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<BoxError>,
    {
        if let Some(expected) = options.expected {
            let expected = object_bytes(&self.full(path)?, expected);
            self.account.accounts.check(&self.account.tenant, self.account.kind, expected).await?;
        }
        let to = self.full(path)?;
        let mut body = std::pin::pin!(body);
        let (mut part, mut more) = next_part(path, &mut body).await?;
        if !more {
            return self.put_bytes(path, part, options).await;
        }
        let fail = |e| Error::from_store("write", path.as_str(), e);
        let mode = mode(&options);
        if matches!((&self.backend, &mode), (Backend::Memory(_) | Backend::S3(_), PutMode::Update(_))) {
            return Err(Error::NotSupported { what: "replace an object of more than 8 MiB under If-Match" });
        }
        self.precheck(path, &options).await?;
        let mut reservation = self.account.reserve(object_bytes(&to, part.len() as u64)).await?;
        let staging = staging::folder(&self.root);
        let staged = staging::name(&staging);
        let target = match (&self.backend, &mode) {
            (Backend::Local(_), _) | (_, PutMode::Overwrite) => &to,
            _ => &staged,
        };
        let mut upload: Box<dyn MultipartUpload> = match &self.backend {
            Backend::Local(local) => Box::new(local.upload(target, mode.clone()).await.map_err(fail)?),
            other => other.store().put_multipart(target).await.map_err(fail)?,
        };
        let mut size = 0;
        let sent = loop {
            size += part.len() as u64;
            if let Err(e) = upload.put_part(PutPayload::from_bytes(part)).await {
                break Err(fail(e));
            }
            if !more {
                break Ok(());
            }
            match next_part(path, &mut body).await {
                Ok(next) => (part, more) = next,
                Err(e) => break Err(e),
            }
            if let Err(e) = reservation.grow(part.len() as u64) {
                break Err(e);
            }
        };
        if let Err(error) = sent {
            let _ = upload.abort().await;
            return Err(error);
        }
        let direct = target == &to;
        let (this, path) = (self.clone(), path.clone());
        // Completes even if the caller is cancelled, so that written bytes are counted.
        run(async move { this.complete(&path, to, upload, direct.then_some(size), staged, reservation).await }).await
    }

    /// Completes an upload in parts: directly for an object of `size` bytes, otherwise by a copy of the staged object.
    async fn complete(
        &self,
        path: &ObjectPath,
        to: Path,
        mut upload: Box<dyn MultipartUpload>,
        size: Option<u64>,
        staged: Path,
        reservation: Reservation,
    ) -> Result<ObjectInfo, Error> {
        let fail = |e| Error::from_store("write", path.as_str(), e);
        let _lock = self.account.lock_path(&to).await;
        let replaced = if size.is_some() { self.charged(path, &to).await? } else { 0 };
        let put = match upload.complete().await {
            Ok(put) => put,
            Err(error) => {
                let _ = upload.abort().await;
                return Err(fail(error));
            }
        };
        if let Some(size) = size {
            reservation.keep(replaced);
            return self.put_info(path, size, put).await;
        }
        let copied = self
            .backend
            .store()
            .copy_opts(&staged, &to, CopyOptions::new().with_mode(object_store::CopyMode::Create))
            .await;
        if copied.is_ok() {
            reservation.keep(0);
        }
        let staging = staging::folder(&self.root);
        if let Err(error) = self.backend.store().delete(&staged).await {
            tracing::warn!(%error, path = %staged, "failed to delete a staged object, it is swept later");
        }
        if let Err(error) =
            staging::sweep(self.backend.store(), &staging, SystemTime::now(), crate::SweepMode::Remove).await
        {
            tracing::warn!(%error, folder = %staging, "failed to sweep staged objects");
        }
        copied.map_err(fail)?;
        self.head(path).await
    }

    /// Returns the bytes charged for an object; 0 if it does not exist.
    async fn charged(&self, path: &ObjectPath, full: &Path) -> Result<u64, Error> {
        match self.head(path).await {
            Ok(info) => Ok(object_bytes(full, info.size)),
            Err(Error::NotFound { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Checks conditions before the transfer, to avoid sending data that cannot be stored. The store checks them again.
    async fn precheck(&self, path: &ObjectPath, options: &PutOptions) -> Result<(), Error> {
        if !options.if_absent && options.if_match.is_none() {
            return Ok(());
        }
        let there = match self.head(path).await {
            Ok(info) => Some(info.etag),
            Err(Error::NotFound { .. }) => None,
            Err(e) => return Err(e),
        };
        let holds = if options.if_absent { there.is_none() } else { there == options.if_match };
        if holds { Ok(()) } else { Err(Error::PreconditionFailed { path: path.as_str().to_owned() }) }
    }

    /// Writes an object from memory.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] if a condition does not hold, [`Error::OverQuota`] or [`Error::DiskFull`] if there
    /// is no room, [`Error::Backend`] if the store fails.
    pub async fn put_bytes(&self, path: &ObjectPath, bytes: Bytes, options: PutOptions) -> Result<ObjectInfo, Error> {
        let to = self.full(path)?;
        let reservation = self.account.reserve(object_bytes(&to, bytes.len() as u64)).await?;
        let (this, path) = (self.clone(), path.clone());
        // Completes even if the caller is cancelled, so that written bytes are counted.
        run(async move { this.put_reserved(&path, to, bytes, &options, reservation).await }).await
    }

    async fn put_reserved(
        &self,
        path: &ObjectPath,
        to: Path,
        bytes: Bytes,
        options: &PutOptions,
        reservation: Reservation,
    ) -> Result<ObjectInfo, Error> {
        let size = bytes.len() as u64;
        let _lock = self.account.lock_path(&to).await;
        let replaced = if options.if_absent { 0 } else { self.charged(path, &to).await? };
        let put = self.backend.store().put_opts(&to, PutPayload::from_bytes(bytes), mode(options).into()).await;
        let put = put.map_err(|e| Error::from_store("write", path.as_str(), e))?;
        reservation.keep(replaced);
        self.put_info(path, size, put).await
    }

    async fn put_info(&self, path: &ObjectPath, size: u64, put: PutResult) -> Result<ObjectInfo, Error> {
        match put.e_tag {
            Some(etag) => Ok(ObjectInfo {
                path: path.as_str().to_owned(),
                size,
                etag: unquoted(Some(&etag)),
                modified_ms: now_ms(),
            }),
            None => self.head(path).await,
        }
    }

    /// Reads an object or part of it as a stream.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PreconditionFailed`], [`Error::NotModified`], [`Error::RangeNotSatisfiable`], and
    /// [`Error::Backend`] if the store fails.
    pub async fn get(&self, path: &ObjectPath, range: Range, conditions: &Conditions) -> Result<ObjectBody, Error> {
        let range = match range {
            Range::Whole => None,
            Range::Bytes(from, to) => Some(GetRange::Bounded(from..to)),
            Range::From(0) => None,
            Range::From(from) => Some(GetRange::Offset(from)),
            Range::Last(bytes) => Some(GetRange::Suffix(bytes)),
        };
        if let Some(range) = &range {
            // Stores differ in the ranges that they reject, so the check is here.
            let size = self.head(path).await?.size;
            let empty = matches!(range, GetRange::Suffix(0)) || size == 0;
            if empty || range.as_range(size).is_err() {
                return Err(Error::RangeNotSatisfiable { path: path.as_str().to_owned(), size });
            }
        }
        let options = GetOptions {
            range,
            if_match: conditions.if_match.as_deref().map(quoted),
            if_none_match: conditions.if_none_match.as_deref().map(quoted),
            ..GetOptions::default()
        };
        let fail = |e| Error::from_store("read", path.as_str(), e);
        let got = self.backend.store().get_opts(&self.full(path)?, options).await.map_err(fail)?;
        let name = path.clone();
        Ok(ObjectBody {
            info: self.info(&got.meta),
            range: got.range.clone(),
            stream: got.into_stream().map_err(move |e| Error::from_store("read", name.as_str(), e)).boxed(),
        })
    }

    /// Reads a whole object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it is larger, otherwise as for [`Objects::get`].
    pub async fn get_bytes(&self, path: &ObjectPath, limit: u64) -> Result<(ObjectInfo, Bytes), Error> {
        let too_large = || Error::TooLarge { what: format!("`{path}`"), limit };
        if let Some(open) = self.open_local(path)? {
            let info = self.info(&open.meta);
            if info.size > limit {
                return Err(too_large());
            }
            if info.size <= INLINE {
                let bytes = Source::opened(self, path, open).read(0..info.size).await?;
                return Ok((info, bytes));
            }
        }
        let body = self.get(path, Range::Whole, &Conditions::default()).await?;
        if body.info.size > limit {
            return Err(too_large());
        }
        let mut stream = body.stream;
        let first = stream.try_next().await?.unwrap_or_default();
        let Some(second) = stream.try_next().await? else { return Ok((body.info, first)) };
        let mut all = BytesMut::from(&*first);
        all.extend_from_slice(&second);
        while let Some(bytes) = stream.try_next().await? {
            all.extend_from_slice(&bytes);
            if all.len() as u64 > limit {
                return Err(too_large());
            }
        }
        Ok((body.info, all.freeze()))
    }

    /// Reads `range` of the version with `etag`, which must contain all of it.
    pub(crate) async fn read_version(
        &self,
        path: &ObjectPath,
        etag: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, Error> {
        let changed = || Error::InputChanged { path: path.as_str().to_owned() };
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let len = range.end - range.start;
        let options =
            GetOptions { range: Some(GetRange::Bounded(range)), if_match: Some(quoted(etag)), ..GetOptions::default() };
        let got = self.backend.store().get_opts(&self.full(path)?, options).await;
        let bytes = match got {
            Ok(got) => got.bytes().await,
            Err(e) => Err(e),
        };
        match bytes.map_err(|e| Error::from_store("read", path.as_str(), e)) {
            Ok(bytes) if bytes.len() as u64 == len => Ok(bytes),
            Ok(_) | Err(Error::PreconditionFailed { .. } | Error::NotFound { .. }) => Err(changed()),
            Err(e) => Err(e),
        }
    }

    /// Returns an object's metadata.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Backend`] if the store fails.
    pub async fn head(&self, path: &ObjectPath) -> Result<ObjectInfo, Error> {
        if let Some(open) = self.open_local(path)? {
            return Ok(self.info(&open.meta));
        }
        let meta = self.backend.store().head(&self.full(path)?).await;
        meta.map(|m| self.info(&m)).map_err(|e| Error::from_store("find", path.as_str(), e))
    }

    /// Lists objects with a path that begins with `prefix` and comes after `after`, at most `limit` (capped at 10,000),
    /// in the byte order of the paths. An S3-compatible server with another order (SeaweedFS lists folder by folder)
    /// keeps its own; following [`ListPage::next`] still returns every object once.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn list(&self, prefix: &ObjectPrefix, after: Option<&str>, limit: usize) -> Result<ListPage, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        // One more object than requested shows if there is a next page.
        let mut all = std::pin::pin!(listing::list(self, prefix, after, Some(limit.saturating_add(1).min(1000)))?);
        let mut objects: Vec<ObjectInfo> = Vec::new();
        while let Some(info) = all.try_next().await? {
            if objects.len() == limit {
                let next = objects.last().map(|o| o.path.clone());
                return Ok(ListPage { objects, next });
            }
            objects.push(info);
        }
        Ok(ListPage { objects, next: None })
    }

    /// Lists every object with a path that begins with `prefix` and comes after `after`, in the order of
    /// [`Objects::list`].
    ///
    /// # Errors
    /// [`Error::InvalidPath`] if `after` is not a valid path; in the stream, [`Error::Backend`] if the store fails.
    pub fn list_all(
        &self,
        prefix: &ObjectPrefix,
        after: Option<&str>,
    ) -> Result<impl Stream<Item = Result<ObjectInfo, Error>> + Send + use<>, Error> {
        listing::list(self, prefix, after, None)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Backend`] if the store fails.
    pub async fn delete(&self, path: &ObjectPath) -> Result<(), Error> {
        let full = self.full(path)?;
        let _lock = self.account.lock_path(&full).await;
        // S3 does not report if the object existed.
        let size = self.head(path).await?.size;
        self.backend.store().delete(&full).await.map_err(|e| Error::from_store("delete", path.as_str(), e))?;
        self.account.remove(object_bytes(&full, size));
        Ok(())
    }

    /// Deletes an object if it was last written before `at_ms`, checked directly before the deletion. Returns its size
    /// if it was deleted.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub(crate) async fn delete_if_older(&self, path: &ObjectPath, at_ms: u64) -> Result<Option<u64>, Error> {
        let full = self.full(path)?;
        let _lock = self.account.lock_path(&full).await;
        let info = match self.head(path).await {
            Ok(info) if info.modified_ms < at_ms => info,
            Ok(_) | Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.backend.store().delete(&full).await.map_err(|e| Error::from_store("delete", path.as_str(), e))?;
        self.account.remove(object_bytes(&full, info.size));
        Ok(Some(info.size))
    }
}

/// Runs a future to completion even if the caller is cancelled.
async fn run<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    let failed = |e: tokio::task::JoinError| Error::Backend {
        operation: "write",
        path: String::new(),
        retryable: true,
        source: Box::new(e),
    };
    tokio::spawn(work).await.map_err(failed)?
}

fn mode(options: &PutOptions) -> PutMode {
    match &options.if_match {
        _ if options.if_absent => PutMode::Create,
        Some(etag) => PutMode::Update(UpdateVersion { e_tag: Some(quoted(etag)), version: None }),
        None => PutMode::Overwrite,
    }
}

/// Reads up to one part of the body. Returns `true` with it if there may be more.
async fn next_part<S, E>(path: &ObjectPath, body: &mut std::pin::Pin<&mut S>) -> Result<(Bytes, bool), Error>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    let mut part = BytesMut::new();
    while part.len() < PART {
        match body.next().await {
            Some(Ok(bytes)) => part.extend_from_slice(&bytes),
            Some(Err(e)) => return Err(Error::Body { path: path.as_str().to_owned(), source: e.into() }),
            None => return Ok((part.freeze(), false)),
        }
    }
    Ok((part.freeze(), true))
}
