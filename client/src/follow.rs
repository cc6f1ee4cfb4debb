//! Following job events and logs: one stream to the caller, over as many connections as it takes.

use crate::{Client, Download, Error, LogFilter, Result, request::Request, retry, sse};
use fabric_types::rest::{invocation::LogLine, job::JobEvent};
use reqwest::Method;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// A connection that is opened again where it left off.
#[derive(Debug, Default)]
struct Connection {
    body: Option<(Download, sse::Parser)>,
    ready: VecDeque<sse::Event>,
    last_id: Option<String>,
    attempt: u32,
    /// How often a connection was opened.
    opened: u64,
    failing_since: Option<Instant>,
}

impl Connection {
    /// The next event; none when the server ended the stream. `open` makes the request of a new connection.
    async fn next<'c>(
        &mut self,
        patience: Duration,
        open: impl Fn(Option<&str>) -> Result<Request<'c>>,
    ) -> Result<Option<sse::Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_id.clone_from(&event.id);
                return Ok(Some(event));
            }
            let read = match &mut self.body {
                None => match open(self.last_id.as_deref())?.once().download().await {
                    Ok(body) => {
                        self.opened += 1;
                        self.body = Some((body, sse::Parser::default()));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Some((body, parser)) => match body.chunk().await {
                    Ok(Some(bytes)) => Ok(Some(parser.feed(&bytes))),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(Some(Ok(events))) => {
                    self.attempt = 0;
                    self.failing_since = None;
                    self.ready.extend(events);
                }
                Ok(Some(Err(too_long))) => {
                    return Err(Error::Protocol { url: "event stream".to_owned(), reason: too_long.to_string() });
                }
                Ok(None) => {
                    self.body = None;
                    return Ok(None);
                }
                Err(error) => {
                    self.body = None;
                    self.pause(patience, error).await?;
                }
            }
        }
    }

    /// Waits before the next connection, or gives up with `error`.
    async fn pause(&mut self, patience: Duration, error: Error) -> Result<()> {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        // The first connection fails at once where nobody listens.
        let fresh = self.last_id.is_none() && matches!(&error, Error::Unreachable { .. });
        if !error.is_retryable() || fresh || now.duration_since(since) >= patience {
            return Err(error);
        }
        tokio::time::sleep(retry::pause(self.attempt, retry::share(), None)).await;
        self.attempt = self.attempt.saturating_add(1);
        Ok(())
    }
}

/// The events of one job, to its end. Made by [`Client::job_events`].
#[derive(Debug)]
pub struct JobEvents {
    client: Client,
    job: String,
    connection: Connection,
    ended: bool,
}

impl Client {
    /// Follows a job from `after` (an event's `seq`; none for the beginning) to its end, across restarts of the server.
    #[must_use]
    pub fn job_events(&self, job: &str, after: Option<u64>) -> JobEvents {
        let connection = Connection { last_id: after.map(|seq| seq.to_string()), ..Connection::default() };
        JobEvents { client: self.clone(), job: job.to_owned(), connection, ended: false }
    }

    /// Follows log lines as they are written, the stored ones first.
    #[must_use]
    pub fn follow_logs(&self, filter: LogFilter) -> LogFollow {
        LogFollow { client: self.clone(), filter, connection: Connection::default(), given: Given::default() }
    }
}

impl JobEvents {
    /// The next event; none after the one that ended the job.
    ///
    /// Not cancel safe: an event may be lost with a dropped future, so keep one and await it.
    ///
    /// # Errors
    /// Those of the request; a lost connection only after the client's patience for reconnecting.
    pub async fn next(&mut self) -> Result<Option<JobEvent>> {
        while !self.ended {
            let (client, job) = (&self.client, &self.job);
            let open = |last: Option<&str>| {
                let request =
                    client.request(Method::GET, &["jobs", job, "events"])?.header("accept", "text/event-stream");
                Ok(if let Some(last) = last { request.header("last-event-id", last) } else { request })
            };
            match self.connection.next(client.options.reconnect_for, open).await? {
                Some(event) => {
                    let event: JobEvent = decode(&event)?;
                    self.ended = event.state.is_terminal();
                    return Ok(Some(event));
                }
                // The server ended the stream before the job did: it is shutting down.
                None => {
                    let cut = Error::Interrupted("the server ended the stream before the job did".to_owned());
                    self.connection.pause(client.options.reconnect_for, cut).await?;
                }
            }
        }
        Ok(None)
    }
}

/// Log lines as they are written. Made by [`Client::follow_logs`].
#[derive(Debug)]
pub struct LogFollow {
    client: Client,
    filter: LogFilter,
    connection: Connection,
    given: Given,
}

/// The lines given out at the last millisecond. Where the server gives no ids, a new connection asks for that
/// millisecond again, and what was given out is left out: lines that share one are neither lost nor repeated.
#[derive(Debug, Default)]
struct Given {
    last_ms: Option<u64>,
    at_last: Vec<LogLine>,
    /// What a new connection is about to repeat.
    repeats: Vec<LogLine>,
    opened: u64,
}

/// More lines than this of one millisecond may come twice after a lost connection.
const REPEATS_LIMIT: usize = 10_000;

impl Given {
    /// Whether a line of connection number `opened` is new.
    fn is_new(&mut self, line: &LogLine, opened: u64) -> bool {
        if self.opened != opened {
            self.opened = opened;
            self.repeats.clone_from(&self.at_last);
        }
        if let Some(at) = self.repeats.iter().position(|given| given == line) {
            self.repeats.swap_remove(at);
            return false;
        }
        if self.last_ms != Some(line.at_ms) {
            self.last_ms = Some(line.at_ms);
            self.at_last.clear();
        }
        if self.at_last.len() < REPEATS_LIMIT {
            self.at_last.push(line.clone());
        }
        true
    }
}

impl LogFollow {
    /// The next line; none when the server says that no more will come.
    ///
    /// Not cancel safe: a line may be lost with a dropped future, so keep one and await it.
    ///
    /// # Errors
    /// Those of the request; a lost connection only after the client's patience for reconnecting.
    pub async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            let mut filter = self.filter.clone();
            filter.since_ms = self.given.last_ms.or(filter.since_ms);
            match self.event(&filter).await? {
                Some(event) => {
                    let line: LogLine = decode(&event)?;
                    if self.given.is_new(&line, self.connection.opened) {
                        return Ok(Some(line));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self, filter: &LogFilter) -> Result<Option<sse::Event>> {
        let client = &self.client;
        let open = |last: Option<&str>| {
            let mut query = filter.query();
            query.push(("follow", "true".to_owned()));
            let request = client.request(Method::GET, &["logs"])?.query(&query).header("accept", "text/event-stream");
            Ok(if let Some(last) = last { request.header("last-event-id", last) } else { request })
        };
        self.connection.next(client.options.reconnect_for, open).await
    }
}

fn decode<T: serde::de::DeserializeOwned>(event: &sse::Event) -> Result<T> {
    serde_json::from_str(&event.data)
        .map_err(|e| Error::Protocol { url: format!("event `{}`", event.name), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(at_ms: u64, message: &str) -> LogLine {
        serde_json::from_value(serde_json::json!({
            "at_ms": at_ms, "invocation_id": "01M80FGBYRD359MKS3SCWC4X09", "function": "f",
            "source": "stdout", "level": "info", "message": message,
        }))
        .unwrap()
    }

    #[test]
    fn lines_of_one_millisecond_are_neither_lost_nor_repeated_by_a_new_connection() {
        let mut given = Given::default();
        let mut new = |connection, lines: &[(u64, &'static str)]| -> Vec<&'static str> {
            lines
                .iter()
                .filter(|(at, text)| given.is_new(&line(*at, text), connection))
                .map(|(_, text)| *text)
                .collect()
        };
        assert_eq!(new(1, &[(1, "a"), (2, "b"), (2, "b"), (2, "c")]), ["a", "b", "b", "c"]);
        // From millisecond 2 on, with one more `b` than before.
        assert_eq!(new(2, &[(2, "c"), (2, "b"), (2, "b"), (2, "b"), (2, "d"), (3, "e")]), ["b", "d", "e"]);
        assert_eq!(new(3, &[(3, "e"), (4, "f")]), ["f"]);
    }
}
