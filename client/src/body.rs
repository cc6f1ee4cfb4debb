//! Bodies that are streamed: what goes up, what comes down. Nothing here holds a whole object.

use crate::{Error, Result};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use std::{path::Path, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// What a file is read in.
const CHUNK_BYTES: usize = 256 << 10;

/// A body on its way up.
pub struct Upload {
    pub(crate) stream: BoxStream<'static, std::io::Result<Bytes>>,
    pub(crate) len: Option<u64>,
}

impl Upload {
    /// A body from a stream; `len` is sent along where it is known.
    pub fn stream(stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static, len: Option<u64>) -> Self {
        Self { stream: stream.boxed(), len }
    }

    /// A body from a reader.
    pub fn reader(reader: impl AsyncRead + Send + 'static, len: Option<u64>) -> Self {
        Self::stream(tokio_util::io::ReaderStream::with_capacity(reader, CHUNK_BYTES), len)
    }

    /// A body from a file, as long as it is now.
    ///
    /// # Errors
    /// [`Error::Io`] where it can't be opened or is a folder.
    pub async fn file(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { what: path.display().to_string(), source };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let meta = file.metadata().await.map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        // A pipe or a device has no length to promise.
        let len = meta.is_file().then_some(meta.len());
        Ok(Self::reader(tokio::io::AsyncReadExt::take(file, len.unwrap_or(u64::MAX)), len))
    }

    /// Calls `seen` with the size of every chunk that is sent.
    #[must_use]
    pub fn on_progress(self, mut seen: impl FnMut(u64) + Send + 'static) -> Self {
        let stream = self.stream.inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                seen(chunk.len() as u64);
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

/// A body on its way down, with the headers that say what it is.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    idle: Duration,
}

impl Download {
    pub(crate) fn new(response: reqwest::Response, idle: Duration) -> Self {
        Self { response, idle }
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The HTTP status: 200, 206 for a range, 304 where a condition says that nothing changed.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Bytes to come, where the server says.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// Whether the server says that nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The media type.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(CONTENT_TYPE.as_str())
    }

    /// The entity tag, without quotes.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.header(ETAG.as_str()).map(|tag| tag.trim_matches('"'))
    }

    /// The first byte of the range that was sent, where it is one.
    #[must_use]
    pub fn range_start(&self) -> Option<u64> {
        self.header(CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where the connection broke or was silent for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(self.idle, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(e)) => Err(Error::Interrupted(crate::error::root_cause(&e))),
            Err(_) => Err(Error::Interrupted(format!("nothing came for {} s", self.idle.as_secs()))),
        }
    }

    /// All of it, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond `limit`; [`Error::Interrupted`].
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

    /// Writes all of it and flushes; gives the bytes written.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Io`] of the writer.
    pub async fn copy_to(mut self, writer: &mut (impl AsyncWrite + Unpin), mut seen: impl FnMut(u64)) -> Result<u64> {
        let failed = |source| Error::Io { what: "writing the result".to_owned(), source };
        let mut total = 0;
        while let Some(chunk) = self.chunk().await? {
            writer.write_all(&chunk).await.map_err(failed)?;
            total += chunk.len() as u64;
            seen(chunk.len() as u64);
        }
        writer.flush().await.map_err(failed)?;
        Ok(total)
    }
}
