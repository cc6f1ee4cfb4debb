//! Streamed writes: parts go into a temporary file that is renamed at the end.

use super::{
    blocking,
    root::{Root, wrap},
    temp::TempFile,
};
use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::{Error, MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart, path::Path};
use std::{os::unix::fs::FileExt as _, sync::Arc};

/// A write in progress. Dropping it removes the temporary file.
#[derive(Debug)]
pub(crate) struct LocalUpload {
    root: Arc<Root>,
    path: Path,
    mode: PutMode,
    temp: Option<TempFile>,
    file: Arc<std::fs::File>,
    /// Offset of the next part.
    offset: u64,
}

impl LocalUpload {
    pub(super) fn begin(root: Arc<Root>, path: Path, mode: PutMode) -> Result<Self> {
        let open = || {
            let temp = root.temp()?;
            let file = Arc::new(temp.file.try_clone()?);
            std::io::Result::Ok((temp, file))
        };
        let (temp, file) = open().map_err(|e| wrap(&path, e))?;
        Ok(Self { root, path, mode, temp: Some(temp), file, offset: 0 })
    }
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, path, mut at) = (Arc::clone(&self.file), self.path.clone(), self.offset);
        self.offset += data.content_length() as u64;
        blocking(move || {
            for part in data.iter() {
                file.write_all_at(part, at).map_err(|e| wrap(&path, e))?;
                at += part.len() as u64;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let ended = || Error::Generic { store: "local", source: "the upload has ended".into() };
        let temp = self.temp.take().ok_or_else(ended)?;
        let (root, path, mode) = (Arc::clone(&self.root), self.path.clone(), self.mode.clone());
        blocking(move || root.commit(temp, &path, &mode)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.temp = None;
        Ok(())
    }
}
