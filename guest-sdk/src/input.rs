//! The input as a stream of chunks, and the trait that creates a function's first argument from it.

use std::io;

use crate::sys::{self, Part, PartKind};
use crate::{Error, Result};

/// Size requested from the host by one read, in bytes. With 64 to 256 KiB, a read costs far less than processing its
/// bytes.
pub const CHUNK_BYTES: u32 = 256 * 1024;

/// A type that can be created from a map task's input.
///
/// The readers of this crate implement it. Implement it for another format by wrapping one of them.
pub trait FromInput: Sized {
    /// Creates the value from the unread input.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the beginning of the input, such as a header, is invalid for the reader.
    fn from_input(input: Input) -> Result<Self>;
}

/// Source of chunks.
#[derive(Debug)]
enum Source {
    /// The current part of the task's input.
    Task,
    /// Bytes in memory, returned in chunks of at most `chunk_bytes`.
    Memory { bytes: Vec<u8>, position: usize, chunk_bytes: usize },
}

/// A sequential reader over the bytes of one part. It implements [`std::io::Read`] and [`std::io::BufRead`].
#[derive(Debug)]
pub struct Input {
    part: Part,
    source: Source,
    chunk: Vec<u8>,
    position: usize,
    consumed: u64,
}

impl Input {
    /// Creates a reader of the task's current part. The caller has just moved to that part.
    pub(crate) fn of_part(part: Part) -> Self {
        Self { part, source: Source::Task, chunk: Vec::new(), position: 0, consumed: 0 }
    }

    /// Creates a reader of bytes in memory, for tests and for data that is already loaded.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::from_bytes_in_chunks(bytes, CHUNK_BYTES as usize)
    }

    /// Creates a reader of bytes in memory that arrive in chunks of `chunk_bytes`, at least 1. Tests use it to check a
    /// reader at chunk boundaries.
    pub fn from_bytes_in_chunks(bytes: impl Into<Vec<u8>>, chunk_bytes: usize) -> Self {
        let bytes = bytes.into();
        let part = Part { name: "item".to_owned(), offset: 0, size: Some(bytes.len() as u64), kind: PartKind::Bytes };
        let source = Source::Memory { bytes, position: 0, chunk_bytes: chunk_bytes.max(1) };
        Self { part, source, chunk: Vec::new(), position: 0, consumed: 0 }
    }

    /// Returns the part's description: the object's name, the offset, the size.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Returns the number of bytes consumed.
    pub fn position(&self) -> u64 {
        self.consumed + self.position as u64
    }

    /// Returns the unconsumed rest of the current chunk, or the next chunk. Empty at the end. Blocks until the host has
    /// bytes.
    pub fn chunk(&mut self) -> &[u8] {
        if self.position >= self.chunk.len() {
            self.refill();
        }
        self.buffered()
    }

    /// Consumes `bytes` bytes of the chunk that [`Input::chunk`] returned.
    pub fn consume_bytes(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes).min(self.chunk.len());
    }

    /// Returns the buffered bytes that are not consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.chunk.get(self.position..).unwrap_or_default()
    }

    /// Returns the bytes between two positions of the current chunk.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.chunk.get(start..end).unwrap_or_default()
    }

    /// Returns the position in the current chunk.
    pub(crate) fn chunk_position(&self) -> usize {
        self.position
    }

    /// Replaces the consumed chunk with the next one. Returns `false` at the end.
    pub(crate) fn refill(&mut self) -> bool {
        self.consumed += self.chunk.len() as u64;
        self.position = 0;
        self.chunk = match &mut self.source {
            Source::Task => {
                // Free the old chunk first, so that the next one can reuse its memory.
                self.chunk = Vec::new();
                sys::read(CHUNK_BYTES)
            }
            Source::Memory { bytes, position, chunk_bytes } => {
                let end = bytes.len().min(*position + *chunk_bytes);
                let next = bytes.get(*position..end).unwrap_or_default().to_vec();
                *position = end;
                next
            }
        };
        !self.chunk.is_empty()
    }

    /// Reads the rest of the input.
    pub fn read_all(&mut self) -> Vec<u8> {
        if self.buffered().is_empty() && !self.refill() {
            return Vec::new();
        }
        let left = self.part.size.unwrap_or(0).saturating_sub(self.position());
        let mut all = if self.position == 0 { std::mem::take(&mut self.chunk) } else { self.buffered().to_vec() };
        self.consumed += (self.position + all.len()) as u64;
        (self.chunk, self.position) = (Vec::new(), 0);
        if left > all.len() as u64 {
            all.reserve_exact(usize::try_from(left).unwrap_or(all.len()).saturating_sub(all.len()).min(64 << 20));
        }
        while self.refill() {
            all.extend_from_slice(&self.chunk);
            self.position = self.chunk.len();
        }
        all
    }
}

impl FromInput for Input {
    fn from_input(input: Input) -> Result<Self> {
        Ok(input)
    }
}

impl io::Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.chunk();
        let count = chunk.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), chunk.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume_bytes(count);
        Ok(count)
    }
}

impl io::BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.chunk())
    }

    fn consume(&mut self, bytes: usize) {
        self.consume_bytes(bytes);
    }
}

/// Moves to the task's first part.
pub(crate) fn first_part() -> Result<Input> {
    match sys::next_part() {
        Some(part) if part.kind == PartKind::Bytes => Ok(Input::of_part(part)),
        Some(_) => Err(Error::failed("the input is keyed; only a reduce task can read it")),
        None => Err(Error::failed("the task has no input part")),
    }
}
