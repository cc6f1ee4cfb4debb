//! Reads one partition in chunks.

use crate::{
    Error, ObjectPath, Objects,
    input::{Blocks, Source},
    parquet_file,
};
use bytes::{Bytes, BytesMut};
use fabric_types::dataset::{ObjectSlice, Partition};
use std::{collections::VecDeque, ops::Range};

/// A part of a partition.
#[derive(Debug)]
pub(crate) enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of the object.
    Range(Range<u64>),
}

/// A partition being read.
#[derive(Debug)]
pub struct PartitionReader {
    name: String,
    offset: u64,
    size: u64,
    source: Option<Source>,
    segments: VecDeque<Segment>,
    blocks: Option<Blocks>,
    /// Bytes read and not returned yet.
    rest: Bytes,
}

fn source(slice: &ObjectSlice, objects: &Objects) -> Result<Source, Error> {
    let end = slice.offset.checked_add(slice.len);
    let end = end.ok_or_else(|| Error::InputChanged { path: slice.path.to_string() })?;
    Source::version(objects, &ObjectPath::new(&slice.path)?, &slice.etag, end)
}

fn range(slice: &ObjectSlice) -> Range<u64> {
    slice.offset..slice.offset.saturating_add(slice.len)
}

/// Opens a partition. Data is read on demand, and a remote store receives no request before that, except for a row
/// group, whose footer is read here.
///
/// # Errors
/// [`Error::InputChanged`] if the object is known to be another version than the planned one,
/// [`Error::InvalidInputSpec`] if a Parquet footer is damaged, and [`Error::Backend`] if the store fails.
pub async fn open(partition: &Partition, objects: &Objects) -> Result<PartitionReader, Error> {
    let (name, offset, source, segments) = match partition {
        Partition::Slice(slice) => {
            (&*slice.path, slice.offset, Some(source(slice, objects)?), vec![Segment::Range(range(slice))])
        }
        Partition::WithHeader { header, rows } => {
            if header.path != rows.path || header.etag != rows.etag {
                return Err(Error::spec("a partition's header and rows are from different objects", "plan again"));
            }
            let segments = vec![Segment::Range(range(header)), Segment::Range(range(rows))];
            let source = if rows.offset >= header.offset { source(rows, objects)? } else { source(header, objects)? };
            (&*rows.path, rows.offset, Some(source), segments)
        }
        Partition::RowGroup { object, index } => {
            let source = source(object, objects)?;
            let segments = parquet_file::row_group(&source, *index).await?;
            (&*object.path, 0, Some(source), segments)
        }
        Partition::Item(text) => {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            ("item", 0, None, vec![Segment::Bytes(bytes)])
        }
    };
    let size = segments.iter().map(|s| match s {
        Segment::Bytes(bytes) => bytes.len() as u64,
        Segment::Range(range) => range.end.saturating_sub(range.start),
    });
    Ok(PartitionReader {
        name: name.to_owned(),
        offset,
        size: size.fold(0, u64::saturating_add),
        source,
        segments: segments.into(),
        blocks: None,
        rest: Bytes::new(),
    })
}

impl PartitionReader {
    /// Returns the object's path, or `item`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the offset of the partition in its object in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the size of the partition in bytes, as the guest reads it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the next bytes, at most `max` (at least 1), or `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::InputChanged`] if the object is another version than the planned one, and [`Error::Backend`] if the
    /// store fails.
    pub async fn next_chunk(&mut self, max: usize) -> Result<Option<Bytes>, Error> {
        loop {
            if !self.rest.is_empty() {
                let len = self.rest.len().min(max.max(1));
                return Ok(Some(self.rest.split_to(len)));
            }
            if let Some(blocks) = &mut self.blocks {
                match blocks.next().await? {
                    Some(bytes) => self.rest = bytes,
                    None => self.blocks = None,
                }
                continue;
            }
            match self.segments.pop_front() {
                None => return Ok(None),
                Some(Segment::Bytes(bytes)) => self.rest = bytes,
                Some(Segment::Range(range)) => {
                    self.blocks = self.source.clone().map(|source| Blocks::new(source, range));
                }
            }
        }
    }

    /// Reads all remaining bytes, at most `limit`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the partition is larger than `limit`, otherwise as for [`PartitionReader::next_chunk`].
    pub async fn read_all(&mut self, limit: u64) -> Result<Bytes, Error> {
        if self.size > limit {
            return Err(Error::TooLarge { what: format!("a partition of `{}`", self.name), limit });
        }
        let first = self.next_chunk(usize::MAX).await?.unwrap_or_default();
        let Some(second) = self.next_chunk(usize::MAX).await? else { return Ok(first) };
        let mut all = BytesMut::with_capacity(usize::try_from(self.size).unwrap_or(0).min(1 << 30));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(bytes) = self.next_chunk(usize::MAX).await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}
