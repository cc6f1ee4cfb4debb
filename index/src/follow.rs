//! Following the log: pages of written lines, then a wait for more. A slow reader misses nothing, and a disconnected
//! one continues after the last number that it received.

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
            // Marked before the read, so that lines written between the read and the wait are not missed.
            self.written.mark_unchanged();
            self.ready = self.index.numbered(&self.tenant, &self.filter, Some(self.after), PAGE).await?.into();
            if self.ready.is_empty() && self.written.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl Index {
    /// Follows the lines that match the filter, each with its number, in order of writing: those after number `after`;
    /// without it, those since [`LogFilter::since_ms`]; without both, those from now on. Returns the number after which
    /// the stream begins.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`]; the stream ends after the first error.
    pub async fn follow(
        &self,
        tenant: &TenantId,
        filter: LogFilter,
        after: Option<i64>,
    ) -> Result<(i64, BoxStream<'static, Result<(i64, LogLine), Error>>), Error> {
        let written = self.inner.shared.written.subscribe();
        self.flush().await?;
        let last = self.last_line().await?;
        // A number from an index that was recreated since may be larger than any of this one.
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

    /// Returns the number of the newest line of any tenant; 0 if there is none.
    async fn last_line(&self) -> Result<i64, Error> {
        self.read(|conn| Ok(conn.query_row("SELECT coalesce(max(id), 0) FROM logs", [], |row| row.get(0))?)).await
    }
}
