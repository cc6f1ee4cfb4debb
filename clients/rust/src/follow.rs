//! Streams of job events and log lines that continue across reconnects.

use crate::{Client, Download, Error, Result, request::Request, retry, sse};
use fabric_api::log::LogQuery;
use fabric_types::rest::{invocation::LogLine, job::JobEvent};
use reqwest::Method;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// An event stream that reconnects and resumes after the last event.
#[derive(Debug, Default)]
struct Connection {
    body: Option<(Download, sse::Parser)>,
    ready: VecDeque<sse::ServerSentEvent>,
    last_id: Option<String>,
    attempt: u32,
    failing_since: Option<Instant>,
}

impl Connection {
    /// Returns the next event, or `None` when the server ends the stream. `open` creates the request of a new
    /// connection.
    async fn next<'c>(
        &mut self,
        patience: Duration,
        open: impl Fn(Option<&str>) -> Result<Request<'c>>,
    ) -> Result<Option<sse::ServerSentEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_id.clone_from(&event.id);
                return Ok(Some(event));
            }
            let read = match &mut self.body {
                None => match open(self.last_id.as_deref())?.without_retry().download().await {
                    Ok(body) => {
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
                    if events.is_empty()
                        && let Some((_, parser)) = &self.body
                        && let Some(id) = parser.last_id()
                    {
                        // The server can send the id of the stream's start before any event.
                        self.last_id = Some(id.to_owned());
                    }
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
                    self.backoff(patience, error).await?;
                }
            }
        }
    }

    /// Waits before the next connection, or returns `error` if there should be none.
    async fn backoff(&mut self, patience: Duration, error: Error) -> Result<()> {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        // The first connection fails at once if no server listens.
        let fresh = self.last_id.is_none() && matches!(&error, Error::Unreachable { .. });
        if !error.is_retryable() || fresh || now.duration_since(since) >= patience {
            return Err(error);
        }
        tokio::time::sleep(retry::backoff(self.attempt, retry::random_fraction(), None)).await;
        self.attempt = self.attempt.saturating_add(1);
        Ok(())
    }
}

/// The events of one job until its end. Created by [`Client::job_events`].
#[derive(Debug)]
pub struct JobEvents {
    client: Client,
    job: String,
    connection: Connection,
    ended: bool,
}

impl Client {
    /// Follows a job to its end, across restarts of the server. Starts after the event with `seq` `after`, or at the
    /// beginning.
    #[must_use]
    pub fn job_events(&self, job: &str, after: Option<u64>) -> JobEvents {
        let connection = Connection { last_id: after.map(|seq| seq.to_string()), ..Connection::default() };
        JobEvents { client: self.clone(), job: job.to_owned(), connection, ended: false }
    }

    /// Follows log lines: first the stored ones, then new ones as they are written.
    #[must_use]
    pub fn follow_logs(&self, filter: LogQuery) -> LogFollow {
        LogFollow { client: self.clone(), filter, connection: Connection::default() }
    }
}

impl JobEvents {
    /// Returns the next event, or `None` after the event that ended the job.
    ///
    /// Not cancel safe: dropping the future may lose an event.
    ///
    /// # Errors
    /// The errors of the request. A lost connection is an error only after
    /// [`Options::reconnect_for`](crate::Options::reconnect_for).
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
                // The server ends the stream before the job ends when it shuts down.
                None => {
                    let cut = Error::Interrupted("the server ended the stream before the job did".to_owned());
                    self.connection.backoff(client.options.reconnect_for, cut).await?;
                }
            }
        }
        Ok(None)
    }
}

/// A stream of log lines. Created by [`Client::follow_logs`].
#[derive(Debug)]
pub struct LogFollow {
    client: Client,
    filter: LogQuery,
    connection: Connection,
}

impl LogFollow {
    /// Returns the next line, or `None` when the server ends the stream.
    ///
    /// Not cancel safe: dropping the future may lose a line.
    ///
    /// # Errors
    /// The errors of the request. A lost connection is an error only after
    /// [`Options::reconnect_for`](crate::Options::reconnect_for).
    pub async fn next(&mut self) -> Result<Option<LogLine>> {
        let (client, query) = (&self.client, LogQuery { follow: Some(true), ..self.filter.clone() });
        let open = |last: Option<&str>| {
            let request = client.request(Method::GET, &["logs"])?.query(&query)?.header("accept", "text/event-stream");
            Ok(if let Some(last) = last { request.header("last-event-id", last) } else { request })
        };
        match self.connection.next(client.options.reconnect_for, open).await? {
            Some(event) => decode(&event).map(Some),
            None => Ok(None),
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(event: &sse::ServerSentEvent) -> Result<T> {
    serde_json::from_str(&event.data)
        .map_err(|e| Error::Protocol { url: format!("event `{}`", event.name), reason: e.to_string() })
}
