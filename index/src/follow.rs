//! Following the log: pages of what is written, then a wait for more. Nothing is skipped, however slow the reader is,
//! and a reader that was cut off goes on after the last number it saw.

use crate::{Error, Index, LogFilter};
use fabric_types::{id::TenantId, rest::invocation::LogLine};
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::collections::VecDeque;
use tokio::sync::watch;

/// Lines that a follower reads at once.
const PAGE: usize = 500;

struct Follower {
    index: Index,
    tenant: TenantId,
    filter: LogFilter,
    after: i64,
    ready: VecDeque<(i64, LogLine)>,
    written: watch::Receiver<u64>,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<(i64, LogLine)>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.after = item.0;
                return Ok(Some(item));
            }
            // Seen before the look, so that what is written between the look and the wait isn't missed.
            self.written.mark_unchanged();
            self.ready = self.index.numbered(&self.tenant, &self.filter, Some(self.after), PAGE).await?.into();
            if self.ready.is_empty() && self.written.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl Index {
    /// Lines that pass the filter, each with its number, in the order of writing, for as long as somebody listens: those
    /// after number `after`; without it those since [`LogFilter::since_ms`], or with neither those from now on.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`]; the stream ends with the first error.
    pub async fn follow(
        &self,
        tenant: &TenantId,
        filter: LogFilter,
        after: Option<i64>,
    ) -> Result<(i64, BoxStream<'static, Result<(i64, LogLine), Error>>), Error> {
        let written = self.inner.shared.written.subscribe();
        self.flush().await?;
        let last = self.last_line().await?;
        // A number of an index that was begun anew since may be larger than any of this one.
        let after = after.or(filter.since_ms.map(|_| 0)).unwrap_or(last).min(last);
        let filter = LogFilter { newest_first: false, ..filter };
        let (index, tenant) = (self.clone(), tenant.clone());
        let follower = Follower { index, tenant, filter, after, ready: VecDeque::new(), written };
        let lines = stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(item)) => Some((Ok(item), Some(follower))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok((after, lines.boxed()))
    }

    /// The number of the newest line of any tenant; 0 where there was none.
    async fn last_line(&self) -> Result<i64, Error> {
        self.read(|conn| Ok(conn.query_row("SELECT coalesce(max(id), 0) FROM logs", [], |row| row.get(0))?)).await
    }
}
