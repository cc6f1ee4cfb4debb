//! Splits an object after line feeds, reading only small windows around the split positions.

use super::{PartitionBudget, STEP, text};
use crate::{Error, input::Source};
use bytes::Bytes;
use std::ops::Range;

/// Bytes read to find a line feed. The window grows fourfold while none is found, up to [`MAX_WINDOW`].
const WINDOW: u64 = 16 << 10;
const MAX_WINDOW: u64 = 1 << 20;

/// Returns ranges of at least `target` bytes, except for the last one, each ending after a line feed or at the object's
/// end. A longer line makes a longer range.
///
/// # Errors
/// [`Error::InvalidInputSpec`] for text without single-byte line ends and for too many ranges, and the store's errors.
pub(super) async fn split(source: &Source, target: u64, budget: &PartitionBudget) -> Result<Vec<Range<u64>>, Error> {
    if source.size == 0 {
        return Ok(Vec::new());
    }
    text::check(source, &source.read(0..source.size.min(text::BEGINNING)).await?)?;
    let mut windows = Windows { source, at: 0, bytes: Bytes::new() };
    let (mut ranges, mut start) = (Vec::new(), 0);
    while start < source.size {
        budget.take(1, Some(source.size))?;
        if ranges.len() % STEP == STEP - 1 {
            tokio::task::yield_now().await;
        }
        let want = start.saturating_add(target.max(1));
        let end = if want >= source.size { source.size } else { windows.line_end(want - 1).await? };
        ranges.push(start..end);
        start = end;
    }
    Ok(ranges)
}

/// The last window read, cached because small targets are close together.
struct Windows<'a> {
    source: &'a Source,
    at: u64,
    bytes: Bytes,
}

impl Windows<'_> {
    /// Returns the position after the first line feed at or after `from`, or the object's end.
    async fn line_end(&mut self, mut from: u64) -> Result<u64, Error> {
        let mut window = WINDOW;
        while from < self.source.size {
            let inside = from.checked_sub(self.at).and_then(|i| self.bytes.get(usize::try_from(i).ok()?..));
            if let Some(bytes) = inside.filter(|b| !b.is_empty()) {
                match memchr::memchr(b'\n', bytes) {
                    Some(found) => return Ok(from + found as u64 + 1),
                    None => from += bytes.len() as u64,
                }
            } else {
                let end = self.source.size.min(from.saturating_add(window));
                self.bytes = self.source.read(from..end).await?;
                self.at = from;
                window = (window * 4).min(MAX_WINDOW);
            }
        }
        Ok(self.source.size)
    }
}
