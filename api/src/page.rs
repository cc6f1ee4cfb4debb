//! Pages of lists.

use fabric_types::rest::Page;
use serde::{Deserialize, Serialize};

/// Default number of items of a page.
const DEFAULT_ITEMS: usize = 100;
/// Maximum number of items of a page.
const MAX_ITEMS: usize = 1000;

/// The selection of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct PageOptions {
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Items per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}

impl PageOptions {
    /// Selects the first page, of at most `limit` items.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { cursor: None, limit: Some(limit) }
    }

    /// Returns the number of items of the page.
    #[must_use]
    pub fn items(&self) -> usize {
        items(self.limit)
    }

    /// Fetches page after page until the list ends or `max` items are collected. The returned page has a `next` if
    /// there are more items.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub async fn collect<T, E, F, Fut>(max: usize, mut fetch: F) -> Result<Page<T>, E>
    where
        F: FnMut(Self) -> Fut,
        Fut: Future<Output = Result<Page<T>, E>>,
    {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = max.saturating_sub(items.len()).min(MAX_ITEMS);
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

/// Returns the number of items of a page, for a requested `limit`.
#[must_use]
pub fn items(limit: Option<usize>) -> usize {
    limit.unwrap_or(DEFAULT_ITEMS).clamp(1, MAX_ITEMS)
}

/// Implements the selection of a page for queries with the fields of [`PageOptions`]. Those fields are part of each
/// query, because `serde(flatten)` cannot read numbers from a query string.
macro_rules! paged {
    ($name:ident) => {
        impl $name {
            /// Selects a page of the list.
            #[must_use]
            pub fn page(mut self, page: $crate::PageOptions) -> Self {
                self.cursor = page.cursor;
                self.limit = page.limit;
                self
            }

            /// Returns the number of items of the page.
            #[must_use]
            pub fn items(&self) -> usize {
                $crate::page::items(self.limit)
            }
        }
    };
}
pub(crate) use paged;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        convert::Infallible,
        future::ready,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    /// Returns the output of a future that never waits.
    fn finished<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future waits"),
        }
    }

    fn numbers(paging: PageOptions) -> impl Future<Output = Result<Page<usize>, Infallible>> {
        let from: usize = paging.cursor.map_or(0, |c| c.parse().unwrap());
        let to = (from + paging.limit.unwrap().min(10)).min(25);
        ready(Ok(Page { items: (from..to).collect(), next: (to < 25).then(|| to.to_string()) }))
    }

    #[test]
    fn pages_are_joined_up_to_the_limit() {
        let all = finished(PageOptions::collect(100, numbers)).unwrap();
        assert_eq!((all.items.len(), all.next), (25, None));
        let some = finished(PageOptions::collect(12, numbers)).unwrap();
        assert_eq!((some.items, some.next), ((0..12).collect(), Some("12".to_owned())));
    }

    #[test]
    fn a_cursor_that_stands_still_ends_the_list() {
        let page = |_| ready(Ok::<_, Infallible>(Page { items: vec![1], next: Some("x".to_owned()) }));
        assert_eq!(finished(PageOptions::collect(1000, page)).unwrap().items.len(), 2);
    }
}
