//! The input of a task: a sequence of parts, each a stream of bytes or of keyed records.

use crate::keyed::KeyedRecord;
use async_trait::async_trait;
use bytes::Bytes;
use fabric_types::Fault;
use std::{collections::VecDeque, sync::Arc};

/// The kind of an input part, which selects the method that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputPartKind {
    /// Bytes, read with [`PartSource::read`].
    Bytes,
    /// Keyed records, read with [`PartSource::read_keyed`].
    Keyed,
}

/// A part of the input, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPart {
    /// Path of the object, or `item`, `partial` or `shuffle`.
    pub name: Arc<str>,
    /// Offset of the part in the object, in bytes.
    pub offset: u64,
    /// Length in bytes, if known.
    pub size: Option<u64>,
    /// Kind of the part.
    pub kind: InputPartKind,
}

/// A source of a task's input. One guest reads it, from front to back.
///
/// All methods must be cancel safe: a guest may wait for several events and abandon a read, and the next read must
/// return the bytes of that read.
#[async_trait]
pub trait PartSource: Send {
    /// Moves to the next part and skips the unread rest of the current one. Returns `None` after the last part.
    ///
    /// # Errors
    /// The fault of the attempt, if the input can't be read.
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault>;

    /// Returns up to `max` bytes of the current part, at least one. Returns no bytes at its end.
    ///
    /// # Errors
    /// See [`Self::next_part`].
    async fn read(&mut self, max: usize) -> Result<Bytes, Fault>;

    /// Returns records of the current keyed part in order, about `max` bytes of them. Returns no records at its end.
    ///
    /// # Errors
    /// See [`Self::next_part`].
    async fn read_keyed(&mut self, max: usize) -> Result<Vec<KeyedRecord>, Fault> {
        let _ = max;
        Ok(Vec::new())
    }
}

/// A source without parts.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptySource;

#[async_trait]
impl PartSource for EmptySource {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
        Ok(None)
    }
    async fn read(&mut self, _max: usize) -> Result<Bytes, Fault> {
        Ok(Bytes::new())
    }
}

/// A source of parts in memory.
#[derive(Debug, Default)]
pub struct MemorySource {
    parts: VecDeque<(InputPart, Bytes)>,
    current: Bytes,
}

impl MemorySource {
    /// Returns a source with a single part.
    #[must_use]
    pub fn one(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Self {
        Self::parts([(name.into(), bytes.into())])
    }

    /// Returns a source with several parts, each with its name.
    #[must_use]
    pub fn parts(parts: impl IntoIterator<Item = (Arc<str>, Bytes)>) -> Self {
        let parts = parts
            .into_iter()
            .map(|(name, bytes)| {
                (InputPart { name, offset: 0, size: Some(bytes.len() as u64), kind: InputPartKind::Bytes }, bytes)
            })
            .collect();
        Self { parts, current: Bytes::new() }
    }
}

#[async_trait]
impl PartSource for MemorySource {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
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
