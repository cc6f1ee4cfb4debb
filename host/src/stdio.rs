//! Standard streams of a guest: input from the task's parts, output to the result or the log.

use crate::{
    call::CallShared,
    fault::FaultError,
    logs::LogOrigin,
    source::{InputPartKind, PartSource},
};
use bytes::{Bytes, BytesMut};
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::Mutex;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdinStream, StdoutStream},
    p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult},
};

/// Number of bytes fetched from a part at once.
const CHUNK_BYTES: usize = 128 << 10;

/// Maximum number of bytes in one write.
const WRITE_BYTES: usize = 64 << 10;

struct Feed {
    source: Box<dyn PartSource>,
    part: Option<InputPartKind>,
    buffer: Bytes,
    ended: bool,
    failed: Option<wasmtime::Error>,
}

/// Standard input: the bytes of all parts in order. A keyed part is read as `key TAB value` lines.
#[derive(Clone)]
pub(crate) struct Stdin {
    feed: Arc<Mutex<Feed>>,
    shared: Arc<CallShared>,
}

impl Stdin {
    pub(crate) fn new(source: Box<dyn PartSource>, shared: Arc<CallShared>) -> Self {
        let feed = Feed { source, part: None, buffer: Bytes::new(), ended: false, failed: None };
        Self { feed: Arc::new(Mutex::new(feed)), shared }
    }
}

impl Feed {
    async fn fill(&mut self) -> Result<(), fabric_types::Fault> {
        while self.buffer.is_empty() && !self.ended {
            self.buffer = match self.part {
                Some(InputPartKind::Bytes) => self.source.read(CHUNK_BYTES).await?,
                Some(InputPartKind::Keyed) => {
                    let mut lines = BytesMut::new();
                    for record in self.source.read_keyed(CHUNK_BYTES).await? {
                        lines.extend_from_slice(&record.key);
                        lines.extend_from_slice(b"\t");
                        lines.extend_from_slice(&record.value);
                        lines.extend_from_slice(b"\n");
                    }
                    lines.freeze()
                }
                None => Bytes::new(),
            };
            if self.buffer.is_empty() {
                self.part = self.source.next_part().await?.map(|part| part.kind);
                self.ended = self.part.is_none();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        let mut feed = self.feed.lock().await;
        if feed.failed.is_none()
            && let Err(fault) = feed.fill().await
        {
            feed.failed = Some(FaultError::error(fault));
        }
    }
}

#[async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        // Another reader of this input holds the lock while it waits for bytes: nothing is ready.
        let Ok(mut feed) = self.feed.try_lock() else { return Ok(Bytes::new()) };
        if let Some(error) = feed.failed.take() {
            return Err(StreamError::Trap(error));
        }
        if feed.buffer.is_empty() && feed.ended {
            return Err(StreamError::Closed);
        }
        let n = feed.buffer.len().min(size);
        self.shared.bytes_in.fetch_add(n as u64, Ordering::Relaxed);
        Ok(feed.buffer.split_to(n))
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        // Only preview 3 calls this, and it is not linked.
        Box::new(tokio::io::empty())
    }
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

/// Standard output or error.
#[derive(Clone)]
pub(crate) struct Stdout {
    shared: Arc<CallShared>,
    /// Origin of the log lines. `None` if the stream is the call's result.
    log: Option<LogOrigin>,
}

impl Stdout {
    pub(crate) fn result(shared: Arc<CallShared>) -> Self {
        Self { shared, log: None }
    }
    pub(crate) fn log(shared: Arc<CallShared>, origin: LogOrigin) -> Self {
        Self { shared, log: Some(origin) }
    }
}

#[async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let written = match self.log {
            Some(origin) => self.shared.logs.lock().write(origin, &bytes),
            None => self.shared.output.lock().write(&bytes),
        };
        written.map_err(|fault| StreamError::Trap(FaultError::error(fault)))
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}
