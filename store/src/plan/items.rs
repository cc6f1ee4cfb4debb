//! One partition per item, from the lines of an object.

use super::{PartitionBudget, Plan, text};
use crate::{
    Error,
    input::{Blocks, Source},
};
use fabric_types::dataset::Partition;

/// UTF-8 byte order mark, which is not part of an item.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Maximum size of an item in bytes, since it is sent with its task.
const MAX_ITEM: usize = 1 << 20;
/// Maximum size of an object with items in bytes, since the plan holds all items.
const MAX_OBJECT: u64 = 256 << 20;

/// Turns each line that is not empty into an item. A carriage return before the line feed is not part of it.
pub(super) async fn plan(source: Source, budget: &PartitionBudget) -> Result<Plan, Error> {
    let (path, size) = (source.path.clone(), source.size);
    if size > MAX_OBJECT {
        return Err(Error::TooLarge { what: format!("the list of items `{path}`"), limit: MAX_OBJECT });
    }
    let mut found = Items { plan: Plan::default(), budget, size, path: path.as_str() };
    let mut blocks = Blocks::new(source.clone(), 0..size);
    let mut begun = Vec::new();
    let mut first = true;
    while let Some(bytes) = blocks.next().await? {
        let mut rest: &[u8] = &bytes;
        if std::mem::take(&mut first) {
            text::check(&source, rest)?;
            rest = rest.strip_prefix(MARK).unwrap_or(rest);
        }
        while let Some((line, after)) = memchr::memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at + 1)) {
            if begun.is_empty() {
                found.add(line)?;
            } else {
                begun.extend_from_slice(line);
                found.add(&begun)?;
                begun.clear();
            }
            rest = after;
        }
        begun.extend_from_slice(rest);
        if begun.len() > MAX_ITEM {
            return Err(too_long(path.as_str()));
        }
        tokio::task::yield_now().await;
    }
    found.add(&begun)?;
    Ok(found.plan)
}

struct Items<'a> {
    plan: Plan,
    budget: &'a PartitionBudget,
    size: u64,
    path: &'a str,
}

impl Items<'_> {
    fn add(&mut self, line: &[u8]) -> Result<(), Error> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        if line.len() > MAX_ITEM {
            return Err(too_long(self.path));
        }
        self.budget.take(1, Some(self.size))?;
        let text = std::str::from_utf8(line).map_err(|_| {
            let number = self.plan.partitions.len() + 1;
            Error::spec(
                format!("item {number} of `{}` is not UTF-8", self.path),
                "items are text, one on a line; use lines:SIZE or object for other bytes",
            )
        })?;
        self.plan.partitions.push(Partition::Item(text.into()));
        self.plan.bytes_in += line.len() as u64;
        Ok(())
    }
}

fn too_long(path: &str) -> Error {
    Error::TooLarge { what: format!("an item of `{path}`"), limit: MAX_ITEM as u64 }
}
