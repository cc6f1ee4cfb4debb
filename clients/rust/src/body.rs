//! Streamed bodies of uploads and downloads. No type here buffers a whole object.

use crate::{Error, Result};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use std::{path::Path, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// Chunk size for reading files.
const CHUNK_BYTES: usize = 256 << 10;

/// The body of an upload.
pub struct Upload {
    pub(crate) stream: BoxStream<'static, std::io::Result<Bytes>>,
    pub(crate) len: Option<u64>,
}

impl Upload {
    /// Creates a body from a stream. `len` is sent as its length, if known.
    pub fn stream(stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static, len: Option<u64>) -> Self {
        Self { stream: stream.boxed(), len }
    }

    /// Creates a body from a reader.
    pub fn reader(reader: impl AsyncRead + Send + 'static, len: Option<u64>) -> Self {
        Self::stream(tokio_util::io::ReaderStream::with_capacity(reader, CHUNK_BYTES), len)
    }

    /// Creates a body from a file, with the file's current length.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be opened or is a folder.
    pub async fn file(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { what: path.display().to_string(), source };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let meta = file.metadata().await.map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        // A pipe or a device has no length.
        let len = meta.is_file().then_some(meta.len());
        Ok(Self::reader(tokio::io::AsyncReadExt::take(file, len.unwrap_or(u64::MAX)), len))
    }

    /// Calls `on_chunk` with the size of every chunk sent.
    #[must_use]
    pub fn on_progress(self, mut on_chunk: impl FnMut(u64) + Send + 'static) -> Self {
        let stream = self.stream.inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                on_chunk(chunk.len() as u64);
            }
        });
        Self { stream: stream.boxed(), len: self.len }
    }
}

impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::stream(futures::stream::iter([Ok(bytes)]), Some(len))
    }
}

/// The body of a download, with the headers of the response.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    idle: Duration,
}

impl Download {
    pub(crate) fn new(response: reqwest::Response, idle: Duration) -> Self {
        Self { response, idle }
    }

    /// Returns a header of the response.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Returns the HTTP status: 200, 206 for a range, or 304 if the object has not changed.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns the length in bytes, if the server sent it.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// Returns `true` if the server sent a length of 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Returns the media type.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(CONTENT_TYPE.as_str())
    }

    /// Returns the entity tag, without quotes.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.header(ETAG.as_str()).map(|tag| tag.trim_matches('"'))
    }

    /// Returns the offset of the first byte, if the response is a range.
    #[must_use]
    pub fn range_start(&self) -> Option<u64> {
        self.header(CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
    }

    /// Returns the next bytes, or `None` at the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the connection broke or was silent for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(self.idle, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(e)) => Err(Error::Interrupted(crate::error::root_cause(&e))),
            Err(_) => Err(Error::Interrupted(format!("no data for {} s", self.idle.as_secs()))),
        }
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond `limit`, or [`Error::Interrupted`].
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.is_empty() && self.len() == Some(chunk.len() as u64) && chunk.len() as u64 <= limit {
                return Ok(chunk);
            }
            if (all.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLong { limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Writes the whole body to `writer`, flushes it, and returns the number of bytes. Calls `on_chunk` with the size of
    /// every chunk.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or [`Error::Io`] of the writer.
    pub async fn copy_to(
        mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        mut on_chunk: impl FnMut(u64),
    ) -> Result<u64> {
        let failed = |source| Error::Io { what: "writing the result".to_owned(), source };
        let mut total = 0;
        while let Some(chunk) = self.chunk().await? {
            writer.write_all(&chunk).await.map_err(failed)?;
            total += chunk.len() as u64;
            on_chunk(chunk.len() as u64);
        }
        writer.flush().await.map_err(failed)?;
        Ok(total)
    }
}
