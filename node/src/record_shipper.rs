//! Ships the activity records of a process in a fleet: appends them to a journal stream of its own, which the owner of
//! the jobs reads into its index.

use bytes::Bytes;
use fabric_backend::{Backend, Error, journal::Journal, notice::Notices};
use fabric_index::{Outbox, RecordBatch, RecordSink, activity_records};
use fabric_types::id::NodeId;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time that records are gathered, since each append is a request to the object store.
const GATHER: Duration = Duration::from_secs(1);
/// Delay after a failed append.
const AGAIN: Duration = Duration::from_secs(2);
/// Maximum time that shutdown waits for the last records.
const LAST: Duration = Duration::from_secs(5);

/// A handle to the shipping task.
#[derive(Clone)]
pub struct RecordShipper {
    done: CancellationToken,
    tracker: TaskTracker,
}

impl RecordShipper {
    /// Starts shipping if `notes` has an outbox.
    pub fn start(process: NodeId, backend: &Backend, notes: &RecordSink) -> Self {
        let posting = Self { done: CancellationToken::new(), tracker: TaskTracker::new() };
        if let RecordSink::Outbox(outbox) = notes {
            let stream = Stream {
                journal: backend.journal.clone(),
                notices: backend.notices.clone(),
                name: String::new(),
                len: None,
            };
            posting.tracker.spawn(run(process, outbox.clone(), stream, posting.done.clone()));
        }
        posting
    }

    /// Ships the remaining records and stops. No record may be added afterwards.
    pub async fn finish(&self) {
        self.done.cancel();
        self.tracker.close();
        if tokio::time::timeout(LAST, self.tracker.wait()).await.is_err() {
            tracing::warn!("shutdown timed out before the last log lines and usage were sent");
        }
    }
}

/// The stream that records are appended to.
struct Stream {
    journal: Arc<dyn Journal>,
    notices: Arc<dyn Notices>,
    name: String,
    /// The length, if known.
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
                // After any other error, the identical append is repeated at the same position, so it takes effect once
                // even if the first attempt succeeded.
                self.len = (!matches!(error, Error::Conflict { .. })).then_some(len);
                return Err(error);
            }
        }
        if let Err(error) = self.notices.publish(name).await {
            // The reader also polls.
            tracing::debug!(%error, "failed to publish a notice of new activity records");
        }
        Ok(())
    }
}

fn encode(noted: &[RecordBatch]) -> Vec<Bytes> {
    let records = noted.iter().map(serde_json::to_vec);
    records
        .filter_map(|record| {
            record.inspect_err(|error| tracing::error!(%error, "failed to encode an activity record")).ok()
        })
        .map(Bytes::from)
        .collect()
}

async fn run(process: NodeId, outbox: Arc<Outbox>, mut stream: Stream, done: CancellationToken) {
    loop {
        let last = done.run_until_cancelled(outbox.ready()).await.is_none();
        // Records written just before the end are also shipped, without waiting for more.
        done.run_until_cancelled(tokio::time::sleep(GATHER)).await;
        let records = encode(&outbox.take());
        // Computed once, since a repeated append must go to the stream that the first one may have reached.
        let name = activity_records::stream(&process, crate::api::now_ms());
        while !records.is_empty()
            && let Err(error) = stream.append(&name, records.clone()).await
        {
            tracing::warn!(%error, "failed to send log lines and usage, retrying");
            tokio::time::sleep(AGAIN).await;
        }
        if last {
            return;
        }
    }
}
