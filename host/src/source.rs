//! Where a task's input comes from: a sequence of parts, each a stream of bytes or of keyed records.

use crate::keyed::Record;
use async_trait::async_trait;
use bytes::Bytes;
use fabric_types::Fault;
use std::{collections::VecDeque, sync::Arc};

/// How a part is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// With [`PartSource::read`].
    Bytes,
    /// With [`PartSource::read_keyed`].
    Keyed,
}

/// What is known of a part before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The object path, `item`, `partial` or `shuffle`.
    pub name: Arc<str>,
    /// Where in the object it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes, where known.
    pub size: Option<u64>,
    /// How to read it.
    pub kind: PartKind,
}

/// A task's input. It is read by one guest, front to back.
///
/// Every method is to be cancel safe: a guest may wait for several things and give up a read half way, and the bytes
/// must then come with the next read.
#[async_trait]
pub trait PartSource: Send {
    /// Moves to the next part, skipping what is unread of the current one; `None` after the last.
    ///
    /// # Errors
    /// What kept the input from being read, as the attempt's fault.
    async fn next_part(&mut self) -> Result<Option<Part>, Fault>;

    /// Up to `max` bytes of the current part, at least one; empty at its end.
    ///
    /// # Errors
    /// As [`Self::next_part`].
    async fn read(&mut self, max: usize) -> Result<Bytes, Fault>;

    /// Records of the current keyed part, in order, of about `max` bytes; empty at its end.
    ///
    /// # Errors
    /// As [`Self::next_part`].
    async fn read_keyed(&mut self, max: usize) -> Result<Vec<Record>, Fault> {
        let _ = max;
        Ok(Vec::new())
    }
}

/// No parts at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

#[async_trait]
impl PartSource for Empty {
    async fn next_part(&mut self) -> Result<Option<Part>, Fault> {
        Ok(None)
    }
    async fn read(&mut self, _max: usize) -> Result<Bytes, Fault> {
        Ok(Bytes::new())
    }
}

/// Parts that are in memory already.
#[derive(Debug, Default)]
pub struct Memory {
    parts: VecDeque<(Part, Bytes)>,
    current: Bytes,
}

impl Memory {
    /// A single part.
    #[must_use]
    pub fn one(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Self {
        Self::parts([(name.into(), bytes.into())])
    }

    /// Several parts, each with its name.
    #[must_use]
    pub fn parts(parts: impl IntoIterator<Item = (Arc<str>, Bytes)>) -> Self {
        let parts = parts
            .into_iter()
            .map(|(name, bytes)| {
                (Part { name, offset: 0, size: Some(bytes.len() as u64), kind: PartKind::Bytes }, bytes)
            })
            .collect();
        Self { parts, current: Bytes::new() }
    }
}

#[async_trait]
impl PartSource for Memory {
    async fn next_part(&mut self) -> Result<Option<Part>, Fault> {
        let Some((part, bytes)) = self.parts.pop_front() else {
            self.current = Bytes::new();
            return Ok(None);
        };
        self.current = bytes;
        Ok(Some(part))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        let n = self.current.len().min(max);
        Ok(self.current.split_to(n))
    }
}
