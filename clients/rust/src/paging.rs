//! Pages of lists.

use crate::Result;
use fabric_types::rest::Page;

/// The selection of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// `next` of the previous page; `None` for the first page.
    pub cursor: Option<String>,
    /// Items per page, at most 1000. Default: the server's, 100.
    pub limit: Option<u32>,
}

impl PageOptions {
    /// Selects the first page, of at most `limit` items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { cursor: None, limit: Some(limit) }
    }

    pub(crate) fn query(&self, out: &mut Vec<(&'static str, String)>) {
        if let Some(cursor) = &self.cursor {
            out.push(("cursor", cursor.clone()));
        }
        if let Some(limit) = self.limit {
            out.push(("limit", limit.to_string()));
        }
    }

    /// Fetches page after page until the list ends or `max` items are collected. The returned page has a `next` if
    /// there are more items.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub async fn collect<T, F, Fut>(max: usize, mut fetch: F) -> Result<Page<T>>
    where
        F: FnMut(Self) -> Fut,
        Fut: Future<Output = Result<Page<T>>>,
    {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let room = max.saturating_sub(items.len());
            let limit = u32::try_from(room.min(1000)).unwrap_or(1000);
            if limit == 0 {
                return Ok(Page { items, next: cursor });
            }
            let page = fetch(Self { cursor: cursor.clone(), limit: Some(limit) }).await?;
            items.extend(page.items);
            // A cursor that does not advance would repeat forever.
            if page.next.is_none() || page.next == cursor {
                return Ok(Page { items, next: None });
            }
            cursor = page.next;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn numbers(paging: PageOptions) -> Result<Page<u32>> {
        let from: u32 = paging.cursor.map_or(0, |c| c.parse().unwrap());
        let to = (from + paging.limit.unwrap().min(10)).min(25);
        Ok(Page { items: (from..to).collect(), next: (to < 25).then(|| to.to_string()) })
    }

    #[tokio::test]
    async fn pages_are_joined_up_to_the_limit() {
        let all = PageOptions::collect(100, numbers).await.unwrap();
        assert_eq!((all.items.len(), all.next), (25, None));
        let some = PageOptions::collect(12, numbers).await.unwrap();
        assert_eq!((some.items, some.next), ((0..12).collect(), Some("12".to_owned())));
    }

    #[tokio::test]
    async fn a_cursor_that_stands_still_ends_the_list() {
        let stuck = PageOptions::collect(1000, async |_| Ok(Page { items: vec![1], next: Some("x".to_owned()) })).await;
        assert_eq!(stuck.unwrap().items.len(), 2);
    }
}
