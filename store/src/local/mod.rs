//! Objects in a local directory, as an [`ObjectStore`].
//!
//! Unlike `object_store`'s `LocalFileSystem`, it opens files only through the root's handle (so that planted links
//! cannot lead out of it), stores both `a` and `a/b`, lists in order, and supports compare-and-set. Writes go to a
//! temporary file that is renamed atomically; by default they are on disk before the call returns.

mod names;
mod root;
mod temp;
mod upload;
mod walk;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use root::{Root, describe, wrap};
use std::{collections::BTreeSet, fmt, ops::Range, os::unix::fs::FileExt as _, sync::Arc};
use walk::Walk;

/// Bytes per read of a streamed object. A slow client keeps one read in memory per stream.
const CHUNK: u64 = 256 << 10;
/// Objects listed per task on the blocking pool.
const BATCH: usize = 500;

/// A directory of objects.
#[derive(Debug, Clone)]
pub(crate) struct Local(Arc<Root>);

/// An object opened for reading. The version stays the same even if the object is replaced.
#[derive(Debug, Clone)]
pub(crate) struct OpenObject {
    /// The file.
    pub(crate) file: Arc<std::fs::File>,
    /// Size and entity tag at the time of opening.
    pub(crate) meta: ObjectMeta,
}

impl Local {
    /// Opens the directory `path`. Creates it if it does not exist.
    pub(crate) fn open(path: &std::path::Path, durable: bool) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Root::open(path, durable)?)))
    }

    /// Opens an object on the calling thread, which takes a few microseconds.
    pub(crate) fn open_object(&self, path: &Path) -> Result<OpenObject> {
        let (file, metadata) = self.0.open_object(path)?;
        Ok(OpenObject { file: Arc::new(file), meta: describe(path.clone(), &metadata) })
    }

    /// Starts a streamed write that completes according to `mode`.
    pub(crate) async fn upload(&self, path: &Path, mode: PutMode) -> Result<upload::LocalUpload> {
        let (root, location) = (Arc::clone(&self.0), path.clone());
        blocking(move || upload::LocalUpload::begin(root, location, mode)).await
    }

    fn walk(&self, prefix: Option<&Path>, after: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (root, prefix, after) = (Arc::clone(&self.0), prefix.cloned().unwrap_or_default(), after.cloned());
        let begin = async move { blocking(move || Ok::<_, Error>(Walk::new(root, &prefix, after.as_ref()))).await };
        let begin = stream::once(begin);
        begin
            .map_ok(|walk: Walk| {
                stream::try_unfold(walk, |mut walk| async move {
                    let (walk, batch) = blocking(move || {
                        let batch = walk.batch(BATCH);
                        Ok::<_, Error>((walk, batch))
                    })
                    .await?;
                    Ok::<_, Error>((!batch.is_empty()).then(|| (stream::iter(batch), walk)))
                })
                .try_flatten()
            })
            .try_flatten()
            .boxed()
    }
}

/// Runs file operations on the blocking pool.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn read(file: &std::fs::File, range: Range<u64>) -> std::io::Result<Bytes> {
    let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(std::io::Error::other)?;
    let mut buffer = vec![0; len];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local directory")
    }
}

#[async_trait]
impl ObjectStore for Local {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (root, location) = (Arc::clone(&self.0), location.clone());
        blocking(move || root.put(&location, payload.iter(), &opts.mode)).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.upload(location, PutMode::Overwrite).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (this, path) = (self.clone(), location.clone());
        let object = blocking(move || this.open_object(&path)).await?;
        options.check_preconditions(&object.meta)?;
        let range = match options.range {
            Some(range) => {
                range.as_range(object.meta.size).map_err(|e| Error::Generic { store: "local", source: Box::new(e) })?
            }
            None => 0..object.meta.size,
        };
        let (file, path, end) = (object.file, location.clone(), range.end);
        let chunks = stream::try_unfold(range.start, move |at| {
            let (file, path) = (Arc::clone(&file), path.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let until = end.min(at + CHUNK);
                let bytes = blocking(move || read(&file, at..until).map_err(|e| wrap(&path, e))).await?;
                Ok(Some((bytes, until)))
            }
        });
        Ok(GetResult {
            payload: GetResultPayload::Stream(chunks.boxed()),
            meta: object.meta,
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (this, path, ranges) = (self.clone(), location.clone(), ranges.to_vec());
        blocking(move || {
            let object = this.open_object(&path)?;
            let read = |r: &Range<u64>| read(&object.file, r.start..r.end.min(object.meta.size));
            ranges.iter().map(|r| read(r).map_err(|e| wrap(&path, e))).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let root = Arc::clone(&self.0);
        locations
            .and_then(move |path| {
                let root = Arc::clone(&root);
                blocking(move || root.delete(&path).map(|()| path))
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut all = self.walk(Some(&prefix), None);
        let (mut folders, mut objects) = (BTreeSet::new(), Vec::new());
        while let Some(meta) = all.try_next().await? {
            let Some(mut rest) = meta.location.prefix_match(&prefix) else { continue };
            match (rest.next(), rest.next()) {
                (Some(folder), Some(_)) => {
                    folders.insert(prefix.clone().join(folder));
                }
                _ => {
                    drop(rest);
                    objects.push(meta);
                }
            }
        }
        Ok(ListResult { common_prefixes: folders.into_iter().collect(), objects, extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (this, from, to) = (self.clone(), from.clone(), to.clone());
        blocking(move || {
            let source = this.open_object(&from)?;
            let temp = this.0.temp().map_err(|e| wrap(&to, e))?;
            std::io::copy(&mut &*source.file, &mut &temp.file).map_err(|e| wrap(&to, e))?;
            let mode = match options.mode {
                CopyMode::Overwrite => PutMode::Overwrite,
                CopyMode::Create => PutMode::Create,
            };
            this.0.commit(temp, &to, &mode).map(drop)
        })
        .await
    }
}
