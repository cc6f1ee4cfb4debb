//! Cuts a CSV object between rows.
//!
//! A line feed inside quotes ends no row (RFC 4180), and whether a place is inside quotes depends on every quote before
//! it, so the object is read once from its beginning. Only quotes and line feeds are looked at.

use super::{Plan, Room, Shared};
use crate::{
    Error,
    input::{Blocks, Source},
};
use fabric_types::dataset::Partition;
use std::ops::Range;

/// Where rows end, found in one pass.
struct Scan {
    target: u64,
    in_quotes: bool,
    /// After the header row, once it was found.
    header_end: Option<u64>,
    /// Where the current range begins.
    start: u64,
    ranges: Vec<Range<u64>>,
}

impl Scan {
    /// Looks at the bytes that begin at `base`.
    fn block(&mut self, base: u64, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            // Up to the target only the number of quotes matters.
            let goal = self.header_end.map_or(0, |_| self.start.saturating_add(self.target).saturating_sub(1));
            let skip = usize::try_from(goal.saturating_sub(base + at as u64)).unwrap_or(usize::MAX).min(rest.len());
            if let Some(skipped) = rest.get(..skip).filter(|s| !s.is_empty()) {
                self.in_quotes ^= memchr::memchr_iter(b'"', skipped).count() % 2 == 1;
                at += skip;
                continue;
            }
            let Some(found) = memchr::memchr2(b'"', b'\n', rest) else { return };
            at += found + 1;
            if rest.get(found) == Some(&b'"') {
                self.in_quotes = !self.in_quotes;
            } else if !self.in_quotes {
                self.row_end(base + at as u64);
            }
        }
    }

    fn row_end(&mut self, end: u64) {
        if self.header_end.is_none() {
            self.header_end = Some(end);
        } else {
            self.ranges.push(self.start..end);
        }
        self.start = end;
    }
}

pub(super) async fn plan(source: Source, target: u64, room: &Room) -> Result<Plan, Error> {
    let (shared, size) = (Shared::new(&source), source.size);
    let mut scan = Scan { target: target.max(1), in_quotes: false, header_end: None, start: 0, ranges: Vec::new() };
    let mut blocks = Blocks::new(source, 0..size);
    let mut base = 0;
    while let Some(bytes) = blocks.next().await? {
        let before = scan.ranges.len();
        scan.block(base, &bytes);
        base += bytes.len() as u64;
        room.take(scan.ranges.len() - before, Some(size))?;
        tokio::task::yield_now().await;
    }
    // A header without rows gives nothing to do.
    let Some(header_end) = scan.header_end else { return Ok(Plan::default()) };
    if scan.start < size {
        room.take(1, Some(size))?;
        scan.ranges.push(scan.start..size);
    }
    let header = shared.slice(0..header_end);
    let partitions: Vec<_> = scan
        .ranges
        .into_iter()
        .map(|rows| Partition::WithHeader { header: header.clone(), rows: shared.slice(rows) })
        .collect();
    let bytes_in = partitions.iter().map(Partition::bytes).fold(0, u64::saturating_add);
    Ok(Plan { partitions, bytes_in })
}
