//! Sends what a process of a fleet notes about its guests: appends it to a journal stream of its own, which the owner of
//! the jobs reads into its index.

use bytes::Bytes;
use fabric_engine::{Engine, Error, journal::Journal, notice::Notices};
use fabric_index::{Noted, Notes, Outbox, notes};
use fabric_types::id::NodeId;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long notes wait for more: each append is a request to the object store.
const GATHER: Duration = Duration::from_secs(1);
/// How long to wait after an append that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a process that ends waits for its last notes to be sent.
const LAST: Duration = Duration::from_secs(5);

/// What sends them.
#[derive(Clone)]
pub struct Posting {
    done: CancellationToken,
    tracker: TaskTracker,
}

impl Posting {
    /// Begins to send, where notes are to be sent.
    pub fn start(process: NodeId, engine: &Engine, notes: &Notes) -> Self {
        let posting = Self { done: CancellationToken::new(), tracker: TaskTracker::new() };
        if let Notes::Sent(outbox) = notes {
            let stream = Stream {
                journal: engine.journal.clone(),
                notices: engine.notices.clone(),
                name: String::new(),
                len: None,
            };
            posting.tracker.spawn(run(process, outbox.clone(), stream, posting.done.clone()));
        }
        posting
    }

    /// Sends what is left and stops. Nothing may be noted any more.
    pub async fn finish(&self) {
        self.done.cancel();
        self.tracker.close();
        if tokio::time::timeout(LAST, self.tracker.wait()).await.is_err() {
            tracing::warn!("the last log lines and usage were not sent");
        }
    }
}

/// The stream that is written to.
struct Stream {
    journal: Arc<dyn Journal>,
    notices: Arc<dyn Notices>,
    name: String,
    /// Its length, when that is known.
    len: Option<u64>,
}

impl Stream {
    async fn append(&mut self, name: &str, records: Vec<Bytes>) -> Result<(), Error> {
        if self.name != name {
            (self.name, self.len) = (name.to_owned(), None);
        }
        let len = match self.len {
            Some(len) => len,
            None => {
                let found = self.journal.streams(name, None, 1).await?;
                found.iter().find(|stream| stream.name == name).map_or(0, |stream| stream.len)
            }
        };
        match self.journal.append(name, len, records).await {
            Ok(len) => self.len = Some(len),
            Err(error) => {
                // After any other error the same append at the same place is done once, whether it had been done or not.
                self.len = (!matches!(error, Error::Conflict { .. })).then_some(len);
                return Err(error);
            }
        }
        if let Err(error) = self.notices.publish(name).await {
            // The reader looks by itself too.
            tracing::debug!(%error, "nobody was told of new notes");
        }
        Ok(())
    }
}

fn encode(noted: &[Noted]) -> Vec<Bytes> {
    let records = noted.iter().map(serde_json::to_vec);
    records
        .filter_map(|record| record.inspect_err(|error| tracing::error!(%error, "notes can't be written down")).ok())
        .map(Bytes::from)
        .collect()
}

async fn run(process: NodeId, outbox: Arc<Outbox>, mut stream: Stream, done: CancellationToken) {
    loop {
        let last = done.run_until_cancelled(outbox.some()).await.is_none();
        // What was noted a moment before the end goes too, without waiting for more.
        done.run_until_cancelled(tokio::time::sleep(GATHER)).await;
        let records = encode(&outbox.take());
        // Named once: a repeated append must go to the stream that the first one may have reached.
        let name = notes::stream(&process, crate::api::now_ms());
        while !records.is_empty()
            && let Err(error) = stream.append(&name, records.clone()).await
        {
            tracing::warn!(%error, "log lines and usage were not sent; trying again");
            tokio::time::sleep(AGAIN).await;
        }
        if last {
            return;
        }
    }
}
