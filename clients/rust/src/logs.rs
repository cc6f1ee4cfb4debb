//! Stored log lines. `follow` has the stream of new ones.

use crate::{Client, PageOptions, Result, functions::push};
use fabric_types::rest::{Page, invocation::LogLine};
use reqwest::Method;

/// A filter for log lines.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Name of the function.
    pub function: Option<String>,
    /// Invocation id.
    pub invocation: Option<String>,
    /// Job id.
    pub job: Option<String>,
    /// Prefix of the id of an invocation or job.
    pub id_prefix: Option<String>,
    /// Task, as `stage/index`.
    pub task: Option<String>,
    /// Earliest time.
    pub since_ms: Option<u64>,
    /// Words in the text.
    pub q: Option<String>,
    /// Lowest level: `trace`, `debug`, `info`, `warn` or `error`.
    pub level: Option<String>,
    /// Return the newest lines first instead of the oldest.
    pub newest_first: bool,
    /// Page of the list.
    pub paging: PageOptions,
}

impl LogQuery {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        push(&mut query, "function", self.function.as_ref());
        push(&mut query, "invocation", self.invocation.as_ref());
        push(&mut query, "job", self.job.as_ref());
        push(&mut query, "id_prefix", self.id_prefix.as_ref());
        push(&mut query, "task", self.task.as_ref());
        push(&mut query, "since_ms", self.since_ms);
        push(&mut query, "q", self.q.as_ref());
        push(&mut query, "level", self.level.as_ref());
        push(&mut query, "order", self.newest_first.then_some("newest"));
        self.paging.query(&mut query);
        query
    }
}

impl Client {
    /// Lists log lines.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn logs(&self, filter: &LogQuery) -> Result<Page<LogLine>> {
        self.request(Method::GET, &["logs"])?.query(&filter.query()).read().await
    }
}
