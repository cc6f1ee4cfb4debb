//! Splits a CSV object between rows.
//!
//! The grammar is the same as in the Rust SDK's readers, from the same crate: a quote opens a field only at its
//! beginning, a line ends with `\n`, `\r\n` or `\r`, and empty lines are not rows. A position is inside quotes or not
//! depending on all bytes before it, so the object is read once from its beginning. `tests/store/csv.rs` compares the
//! splitter with the reader over arbitrary bytes.

use super::{PartitionBudget, Plan, Shared, text};
use crate::{
    Error,
    input::{Blocks, Source},
};
use fabric_types::{
    dataset::{Delimiter, Partition},
    units::ByteSize,
};
use std::ops::Range;

/// Bytes scanned between yields to other tasks.
const PIECE: usize = 64 << 10;
/// Bytes of a header row that are searched for another delimiter.
const MAX_HEADER: u64 = 64 << 10;

/// The CSV grammar. Only the ends of rows and fields matter here.
struct Grammar {
    reader: Box<csv_core::Reader>,
    /// Output buffers for the contents and ends of fields. They are never read.
    contents: Box<[u8]>,
    ends: Box<[usize]>,
}

/// The result of one step of the grammar.
struct Step {
    /// Number of bytes read.
    read: usize,
    /// Number of fields that ended in them.
    fields: usize,
    /// `true` if the row ended with them.
    row_ended: bool,
}

impl Grammar {
    fn new(delimiter: Delimiter) -> Self {
        let reader = Box::new(csv_core::ReaderBuilder::new().delimiter(delimiter.byte()).build());
        Self { reader, contents: vec![0; PIECE].into(), ends: vec![0; 1024].into() }
    }

    /// Reads up to the end of the row. An empty slice marks the end of the object.
    fn read(&mut self, bytes: &[u8]) -> Step {
        let (result, read, _, fields) = self.reader.read_record(bytes, &mut self.contents, &mut self.ends);
        Step { read, fields, row_ended: matches!(result, csv_core::ReadRecordResult::Record) }
    }
}

/// Finds split positions between rows in one pass.
struct Splitter {
    grammar: Grammar,
    target: u64,
    /// Bytes read.
    at: u64,
    /// `true` if the last row has ended and only line ends came after it.
    between_rows: bool,
    header_fields: usize,
    /// Offset of the first row after the header.
    header_end: Option<u64>,
    /// Offset of the current range.
    start: u64,
    ranges: Vec<Range<u64>>,
}

impl Splitter {
    fn new(target: u64, delimiter: Delimiter) -> Self {
        Self {
            grammar: Grammar::new(delimiter),
            target: target.max(1),
            at: 0,
            between_rows: false,
            header_fields: 0,
            header_end: None,
            start: 0,
            ranges: Vec::new(),
        }
    }

    /// Scans the next bytes of the object.
    fn scan(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.between_rows {
                // Line ends belong to the range before them, so that each range begins with a row.
                let line_ends = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                self.at += line_ends as u64;
                bytes = bytes.get(line_ends..).unwrap_or_default();
                if bytes.is_empty() {
                    return;
                }
                self.between_rows = false;
                self.row_begins();
            }
            let step = self.grammar.read(bytes);
            self.at += step.read as u64;
            bytes = bytes.get(step.read..).unwrap_or_default();
            self.between_rows = step.row_ended;
            if self.header_end.is_none() {
                self.header_fields += step.fields;
            }
        }
    }

    /// Handles the start of a row other than the first.
    fn row_begins(&mut self) {
        if self.header_end.is_none() {
            self.header_end = Some(self.at);
            self.start = self.at;
        } else if self.at - self.start >= self.target {
            self.ranges.push(self.start..self.at);
            self.start = self.at;
        }
    }
}

pub(super) async fn plan(
    source: Source,
    target: u64,
    delimiter: Option<Delimiter>,
    budget: &PartitionBudget,
) -> Result<Plan, Error> {
    let (shared, size) = (Shared::new(&source), source.size);
    let mut splitter = Splitter::new(target, delimiter.unwrap_or(Delimiter::COMMA));
    let mut blocks = Blocks::new(source.clone(), 0..size);
    while let Some(bytes) = blocks.next().await? {
        if splitter.at == 0 {
            text::check(&source, &bytes)?;
        }
        for piece in bytes.chunks(PIECE) {
            let before = (splitter.ranges.len(), splitter.header_end.is_some());
            splitter.scan(piece);
            budget.take(splitter.ranges.len() - before.0, Some(size))?;
            if let (false, Some(end)) = (before.1, splitter.header_end)
                && delimiter.is_none()
                && splitter.header_fields == 1
            {
                check_delimiter(&source, end, target).await?;
            }
            tokio::task::yield_now().await;
        }
    }
    // A header without rows gives no partition.
    let Some(header_end) = splitter.header_end else { return Ok(Plan::default()) };
    if splitter.start < size {
        budget.take(1, Some(size))?;
        splitter.ranges.push(splitter.start..size);
    }
    let header = shared.slice(0..header_end);
    let partitions: Vec<_> = splitter
        .ranges
        .into_iter()
        .map(|rows| Partition::WithHeader { header: header.clone(), rows: shared.slice(rows) })
        .collect();
    let bytes_in = partitions.iter().map(Partition::bytes).fold(0, u64::saturating_add);
    Ok(Plan { partitions, bytes_in })
}

/// Refuses an object whose header row, up to `header_end`, is one field with commas and several with another delimiter.
async fn check_delimiter(source: &Source, header_end: u64, target: u64) -> Result<(), Error> {
    let header = source.read(0..header_end.min(MAX_HEADER)).await?;
    let Some(other) = Delimiter::USUAL.into_iter().find(|delimiter| fields(&header, *delimiter) > 1) else {
        return Ok(());
    };
    let size = ByteSize(target).exact();
    Err(Error::spec(
        format!(
            "the header row of `{}` has no comma, and its fields seem to be separated by another byte",
            source.path
        ),
        format!("name the delimiter: csv:{size}:{other}, or csv:{size}:comma if it has one column"),
    ))
}

/// Returns the number of fields in the first row of `bytes`.
fn fields(mut bytes: &[u8], delimiter: Delimiter) -> usize {
    let mut grammar = Grammar::new(delimiter);
    let mut fields = 0;
    while !bytes.is_empty() {
        let step = grammar.read(bytes);
        fields += step.fields;
        if step.row_ended {
            return fields;
        }
        bytes = bytes.get(step.read..).unwrap_or_default();
    }
    fields + grammar.read(&[]).fields
}
