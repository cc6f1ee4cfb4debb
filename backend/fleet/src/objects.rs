//! Access to the object store as this crate needs it: small objects, conditional writes, and a time limit and bounded
//! retries for each request.
//!
//! A retried write may conflict with its own first attempt, if that succeeded and only its answer was lost. The
//! existing object is therefore read and compared. Every object contains a random number of its writer, so equal bytes
//! are the writer's own (tested by `a_write_whose_answer_was_lost_is_no_conflict_with_itself`).

use bytes::Bytes;
use fabric_backend::Error;
use futures::TryStreamExt as _;
use object_store::{
    GetOptions, GetRange, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    UpdateVersion, path::Path,
};
use std::{future::Future, sync::Arc, time::Duration};

/// Maximum attempts per request.
const TRIES: u32 = 4;
/// Delay after the first attempt. Doubles after each attempt, plus a random delay of up to the same length.
const PAUSE: Duration = Duration::from_millis(100);
/// Time limit of a whole listing, in multiples of the request limit.
const LIST_PAGES: u32 = 100;
/// Maximum number of objects in one listing.
const LISTED: usize = 4_000_000;
/// Maximum attempts of a create after the conflicting object disappeared.
const VANISHED: u32 = 8;

/// An object that was read.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) etag: String,
    /// Time of the last write by the store's clock, in milliseconds since 1970.
    pub(crate) written_ms: u64,
}

/// The outcome of a conditional write.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// Written; the new entity tag.
    Written(String),
    /// Another object exists.
    Conflict(Found),
    /// The object does not exist, though one was expected.
    Missing,
}

/// A part of a store.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    root: Path,
    timeout: Duration,
}

/// Returns `true` if two entity tags are equal. Some servers omit the quotes in listings.
pub(crate) fn same_tag(a: &str, b: &str) -> bool {
    a.trim_matches('"') == b.trim_matches('"')
}

/// Returns `true` if the store refused a request because of a wrong clock, which may be corrected at any time.
fn is_of_another_time(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. }) && error.to_string().contains("RequestTimeTooSkewed")
}

pub(crate) fn failed(mut context: String, source: object_store::Error) -> Error {
    use object_store::Error as E;
    if fabric_types::disk::is_full(&source) {
        return Error::Full { backend: "object store", context };
    }
    let mut retryable = matches!(source, E::Generic { .. } | E::Precondition { .. });
    if is_of_another_time(&source) {
        context.push_str("; hint: the clocks of this machine and of the store differ: correct them");
        retryable = true;
    }
    Error::Backend { backend: "object store", context, source: Box::new(source), retryable }
}

fn slow(context: String, limit: Duration) -> Error {
    Error::Backend {
        backend: "object store",
        context,
        source: format!("no answer within {} ms", limit.as_millis()).into(),
        retryable: true,
    }
}

fn tag(tag: Option<String>, path: &Path) -> Result<String, Error> {
    tag.filter(|tag| !tag.is_empty()).ok_or_else(|| Error::Backend {
        backend: "object store",
        context: format!("`{path}` has no entity tag"),
        source: "the store must return entity tags, as S3 does".into(),
        retryable: false,
    })
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: Path, timeout: Duration) -> Self {
        Self { store, root, timeout }
    }

    /// Returns the part of the store in a subfolder.
    pub(crate) fn below(&self, folder: &'static str) -> Self {
        Self { root: self.root.clone().join(folder), ..self.clone() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a request until it has an outcome or the attempts are exhausted. `NotFound` and failed conditions are
    /// outcomes.
    async fn tries<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        what: &str,
        path: &Path,
        request: impl FnMut() -> F,
    ) -> Result<object_store::Result<T>, Error> {
        self.tries_within(self.timeout, what, path, request).await
    }

    async fn tries_within<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        limit: Duration,
        what: &str,
        path: &Path,
        mut request: impl FnMut() -> F,
    ) -> Result<object_store::Result<T>, Error> {
        use object_store::Error as E;
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match tokio::time::timeout(limit, request()).await {
                Ok(Ok(value)) => return Ok(Ok(value)),
                Ok(Err(e @ (E::NotFound { .. } | E::AlreadyExists { .. } | E::Precondition { .. }))) => {
                    return Ok(Err(e));
                }
                Ok(Err(error)) => failed(format!("{what} `{path}`"), error),
                Err(_) => slow(format!("{what} `{path}`"), limit),
            };
            if tried >= TRIES || !error.is_retryable() {
                return Err(error);
            }
            tracing::debug!(%error, tried, "object store request failed, retrying");
            let pause = PAUSE * 2u32.saturating_pow(tried - 1);
            tokio::time::sleep(pause + pause.mul_f64(rand::random::<f64>())).await;
        }
    }

    /// Reads an object, or returns `None` if it does not exist.
    pub(crate) async fn get(&self, path: &Path, limit: u64) -> Result<Option<Found>, Error> {
        let got = self
            .tries("read", path, || async {
                let answer = self.store.get_opts(path, GetOptions::default()).await?;
                let (etag, size, written) = (answer.meta.e_tag.clone(), answer.meta.size, answer.meta.last_modified);
                let bytes = if size > limit { Bytes::new() } else { answer.bytes().await? };
                Ok((bytes, etag, size, written))
            })
            .await?;
        match got {
            Ok((_, _, size, _)) if size > limit => {
                Err(Error::Damaged(format!("`{path}` has {size} bytes, expected at most {limit}")))
            }
            Ok((bytes, etag, _, written)) => {
                let written_ms = u64::try_from(written.timestamp_millis()).unwrap_or(0);
                Ok(Some(Found { bytes, etag: tag(etag, path)?, written_ms }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("read `{path}`"), error)),
        }
    }

    /// Reads at most the first `len` bytes of an object, or returns `None` if it does not exist.
    pub(crate) async fn get_start(&self, path: &Path, len: u64) -> Result<Option<Found>, Error> {
        let options = || GetOptions { range: Some(GetRange::Bounded(0..len)), ..GetOptions::default() };
        let got = self
            .tries("read", path, || async {
                let answer = self.store.get_opts(path, options()).await?;
                let (etag, written) = (answer.meta.e_tag.clone(), answer.meta.last_modified);
                Ok((answer.bytes().await?, etag, written))
            })
            .await?;
        match got {
            Ok((bytes, etag, written)) => {
                let written_ms = u64::try_from(written.timestamp_millis()).unwrap_or(0);
                Ok(Some(Found { bytes, etag: tag(etag, path)?, written_ms }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("read `{path}`"), error)),
        }
    }

    /// Returns the entity tag of an object, or `None` if it does not exist.
    pub(crate) async fn head(&self, path: &Path) -> Result<Option<String>, Error> {
        match self.tries("read the metadata of", path, || self.store.head(path)).await? {
            Ok(meta) => Ok(Some(tag(meta.e_tag, path)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("read the metadata of `{path}`"), error)),
        }
    }

    async fn put(&self, path: &Path, bytes: &Bytes, mode: &PutMode) -> Result<Option<String>, Error> {
        let put = self
            .tries("write", path, || {
                let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
                self.store.put_opts(path, PutPayload::from_bytes(bytes.clone()), options)
            })
            .await?;
        use object_store::Error as E;
        match put {
            Ok(result) => tag(result.e_tag, path).map(Some),
            Err(E::AlreadyExists { .. } | E::Precondition { .. } | E::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("write `{path}`"), error)),
        }
    }

    /// Writes an object if none exists. `bytes` must be unique to this writer (see the module). Never returns
    /// [`WriteOutcome::Missing`].
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<WriteOutcome, Error> {
        for _ in 0..VANISHED {
            if let Some(etag) = self.put(path, &bytes, &PutMode::Create).await? {
                return Ok(WriteOutcome::Written(etag));
            }
            match self.get(path, u64::MAX).await? {
                Some(found) if found.bytes == bytes => return Ok(WriteOutcome::Written(found.etag)),
                Some(found) => return Ok(WriteOutcome::Conflict(found)),
                // Deleted in the meantime, so the path is free again.
                None => {}
            }
        }
        Err(Error::Backend {
            backend: "object store",
            context: format!("write `{path}`"),
            source: "another writer repeatedly created and deleted it".into(),
            retryable: true,
        })
    }

    /// Writes an object if the current one has this entity tag. `bytes` must be unique to this writer.
    pub(crate) async fn replace(&self, path: &Path, etag: &str, bytes: Bytes) -> Result<WriteOutcome, Error> {
        let version = UpdateVersion { e_tag: Some(etag.to_owned()), version: None };
        if let Some(etag) = self.put(path, &bytes, &PutMode::Update(version)).await? {
            return Ok(WriteOutcome::Written(etag));
        }
        Ok(match self.get(path, u64::MAX).await? {
            Some(found) if found.bytes == bytes => WriteOutcome::Written(found.etag),
            Some(found) => WriteOutcome::Conflict(found),
            None => WriteOutcome::Missing,
        })
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.tries("remove", path, || self.store.delete(path)).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(format!("remove `{path}`"), error)),
        }
    }

    /// Lists all objects below a folder, in unspecified order.
    pub(crate) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self
            .tries_within(self.timeout * LIST_PAGES, "list", folder, || async {
                let mut found = Vec::new();
                let mut list = self.store.list(Some(folder));
                // Each page has its own time limit, since a long listing is not a slow one.
                while let Some(meta) = match tokio::time::timeout(self.timeout, list.try_next()).await {
                    Ok(next) => next?,
                    Err(late) => {
                        return Err(object_store::Error::Generic { store: "list", source: Box::new(late) });
                    }
                } {
                    if found.len() >= LISTED {
                        return Err(object_store::Error::NotSupported {
                            source: format!("more than {LISTED} objects").into(),
                        });
                    }
                    found.push(meta);
                    if found.len() % 1000 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Ok(found)
            })
            .await?;
        match listed {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(failed(format!("list `{folder}`"), error)),
        }
    }

    /// Lists the folders and objects directly below a folder.
    pub(crate) async fn list_folder(&self, folder: &Path) -> Result<ListResult, Error> {
        match self.tries("list", folder, || self.store.list_with_delimiter(Some(folder))).await? {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => {
                Ok(ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() })
            }
            Err(error) => Err(failed(format!("list `{folder}`"), error)),
        }
    }

    /// Checks that the store answers and honours both kinds of conditional write. A store that ignores the conditions
    /// would silently lose data.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let broken = |what: &str| Error::Backend {
            backend: "object store",
            context: format!("check the store: {what}"),
            source: "hint: use a store with conditional writes, such as AWS S3, SeaweedFS 4 or MinIO".into(),
            retryable: false,
        };
        let bytes = |n: u8| Bytes::from(format!("{:032x}{n}", rand::random::<u128>()));
        let path = self.root.clone().join("probe").join(format!("{:032x}", rand::random::<u128>()));
        let mode = PutMode::Create;
        let first = bytes(0);
        let Some(etag) = self.put(&path, &first, &mode).await? else {
            return Err(broken("a write to a new path was refused"));
        };
        let verdict = async {
            if self.put(&path, &bytes(1), &mode).await?.is_some() {
                return Err(broken("a write with `If-None-Match: *` replaced an object"));
            }
            let WriteOutcome::Written(_) = self.replace(&path, &etag, bytes(2)).await? else {
                return Err(broken("a write with the right `If-Match` was refused"));
            };
            match self.replace(&path, &etag, bytes(3)).await? {
                WriteOutcome::Conflict(_) => Ok(()),
                _ => Err(broken("a write with a wrong `If-Match` replaced an object")),
            }
        }
        .await;
        self.delete(&path).await?;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_no_lasting_refusal() {
        let refused = |why: &str| {
            let source = format!("<Error><Code>{why}</Code></Error>").into();
            failed("read `x`".to_owned(), object_store::Error::PermissionDenied { path: "x".to_owned(), source })
        };
        let skewed = refused("RequestTimeTooSkewed");
        assert!(skewed.is_retryable() && skewed.to_string().contains("clock"), "{skewed}");
        assert!(!refused("AccessDenied").is_retryable());
    }
}
