//! Log lines. Following them is in `follow`.

use crate::{Client, Paging, Result, functions::push};
use fabric_types::rest::{Page, invocation::LogLine};
use reqwest::Method;

/// Which log lines.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Of one function.
    pub function: Option<String>,
    /// Of one invocation.
    pub invocation: Option<String>,
    /// Of one job.
    pub job: Option<String>,
    /// Of the invocation or job whose id begins so.
    pub id_prefix: Option<String>,
    /// Of one task, as `stage/index`.
    pub task: Option<String>,
    /// Written since.
    pub since_ms: Option<u64>,
    /// Words in the text.
    pub q: Option<String>,
    /// Of this level and above: `trace`, `debug`, `info`, `warn` or `error`.
    pub level: Option<String>,
    /// The newest first; else the oldest.
    pub newest_first: bool,
    /// Which page.
    pub paging: Paging,
}

impl LogFilter {
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
    /// Log lines.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn logs(&self, filter: &LogFilter) -> Result<Page<LogLine>> {
        self.request(Method::GET, &["logs"])?.query(&filter.query()).read().await
    }
}
