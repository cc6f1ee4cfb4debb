//! Pages of lists in memory.

use crate::{Error, error::Result};
use fabric_types::rest::Page;

/// Returns the page of `items` that begins at the index in `cursor`.
pub(super) fn page<T>(items: Vec<T>, cursor: Option<&str>, limit: usize) -> Result<Page<T>> {
    let from: usize = match cursor {
        Some(c) => c.parse().map_err(|_| Error::invalid_cursor())?,
        None => 0,
    };
    let total = items.len();
    let items: Vec<T> = items.into_iter().skip(from).take(limit).collect();
    let end = from.saturating_add(items.len());
    Ok(Page { items, next: (end < total).then(|| end.to_string()) })
}
