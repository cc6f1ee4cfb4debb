//! The single writer: takes all waiting changes, writes them in one transaction, and answers.

use crate::{
    Error, Options, dead_letters,
    error::WriteFailure,
    ingest::{self, StreamRecord, Totals},
    invocations, jobs, logs, schema, usage,
};
use fabric_types::{
    id::{FunctionName, JobId, TenantId},
    rest::{
        invocation::{Invocation, LogLine},
        job::{DeadLetter, Job},
        node::UsageLine,
    },
};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Changes that the queue holds before callers wait.
const QUEUE: usize = 1024;
/// Maximum time that usage waits for a batch.
const USAGE_WAIT: Duration = Duration::from_millis(500);

pub(crate) enum Change {
    Jobs(Vec<(TenantId, Job)>),
    RemoveJob(TenantId, JobId),
    Invocations(Vec<(TenantId, Invocation)>),
    Letters(Vec<(TenantId, DeadLetter)>),
    /// Requests a tenant's usage after all waiting usage was added.
    Usage(TenantId, Range<u32>, Option<oneshot::Sender<Vec<UsageLine>>>),
    /// Requests the bytes of log lines of each tenant.
    LogBytes(Option<oneshot::Sender<HashMap<TenantId, u64>>>),
    /// Records of activity streams.
    StreamRecords(Vec<StreamRecord>),
    /// Requests all usage.
    Totals(Option<oneshot::Sender<Totals>>),
    ReplaceTotals(Totals),
    ForgetStreams(Vec<String>),
    Flush,
}

struct Waiting {
    change: Change,
    reply: oneshot::Sender<Result<(), Error>>,
    _permit: OwnedSemaphorePermit,
}

/// Unwritten usage of functions on each UTC day.
pub(crate) type Usage = HashMap<(TenantId, u32, FunctionName), UsageLine>;

/// Changes that wait to be written.
#[derive(Default)]
pub(crate) struct Queues {
    changes: Vec<Waiting>,
    pub(crate) lines: logs::Queue,
    pub(crate) usage: Usage,
    closed: bool,
}

/// State shared by callers and the writer.
pub(crate) struct Shared {
    pub(crate) queues: Mutex<Queues>,
    pub(crate) wake: Condvar,
    /// Changes when lines have been written.
    pub(crate) written: watch::Sender<u64>,
    permits: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            wake: Condvar::new(),
            written: watch::Sender::new(0),
            permits: Arc::new(Semaphore::new(QUEUE)),
        }
    }
}

impl Shared {
    /// Queues a change for the writer. Waits while the queue is full. The receiver resolves when the change is written.
    pub(crate) async fn send(&self, change: Change) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.queues.lock().changes.push(Waiting { change, reply, _permit: permit });
        self.wake.notify_one();
        Ok(answer)
    }

    /// Puts usage that could not be written back into the queue.
    fn keep_usage(&self, usage: Usage) {
        let mut queues = self.queues.lock();
        for (key, line) in usage {
            usage::merge(queues.usage.entry(key).or_default(), &line);
        }
    }

    pub(crate) fn close(&self) {
        self.queues.lock().closed = true;
        self.wake.notify_one();
    }
}

/// The write connections and the state of retention.
pub(crate) struct Store {
    index: Connection,
    usage: Connection,
    log_retention: logs::Retention,
    invocation_retention: invocations::Retention,
    /// The day of the last compaction of old usage.
    compacted: u32,
}

impl Store {
    pub(crate) fn new(index: Connection, usage: Connection, options: Options) -> Result<Self, Error> {
        let Options { log_bytes, log_bytes_of_all, log_age, invocations, invocation_age } = options;
        let log_retention = logs::Retention::new(&index, log_bytes, log_bytes_of_all, log_age)?;
        Ok(Self {
            index,
            usage,
            log_retention,
            invocation_retention: invocations::Retention::new(invocations, invocation_age),
            compacted: 0,
        })
    }

    pub(crate) fn index(&self) -> &Connection {
        &self.index
    }

    /// Returns some free pages to the file system. Returns `true` if there may be more.
    fn shrink(&self) -> bool {
        schema::shrink(&self.index).unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to shrink the index");
            false
        })
    }

    /// Writes all waiting changes on the caller's thread.
    pub(crate) fn drain(&mut self, shared: &Shared) {
        let queues = {
            let mut queues = shared.queues.lock();
            let closed = queues.closed;
            let taken = std::mem::take(&mut *queues);
            queues.closed = closed;
            taken
        };
        self.write(queues, shared);
    }

    fn write(&mut self, queues: Queues, shared: &Shared) {
        let Queues { changes, lines, usage, .. } = queues;
        let (lines, notes) = lines.finish();
        let any_lines = !lines.is_empty() || !notes.is_empty();
        let lines = || lines.iter().chain(&notes);
        let (mut changes, replies): (Vec<_>, Vec<_>) =
            changes.into_iter().map(|w| (w.change, (w.reply, w._permit))).unzip();
        let together = self.write_index(&changes, lines());
        let outcomes: Vec<Result<(), WriteFailure>> = match &together {
            Ok(()) => vec![Ok(()); changes.len()],
            Err(error) => {
                tracing::error!(%error, "index batch failed, retrying its parts one by one");
                if any_lines && let Err(error) = self.write_index(&[], lines()) {
                    tracing::error!(%error, "failed to write log lines, they are lost");
                }
                let one = |change| self.write_index(std::slice::from_ref(change), std::iter::empty());
                changes.iter().map(one).map(|r| r.map_err(WriteFailure::from)).collect()
            }
        };
        if any_lines || changes.iter().any(|change| matches!(change, Change::StreamRecords(_))) {
            shared.written.send_modify(|count| *count += 1);
        }
        let today = usage::today();
        if self.compacted != today {
            match usage::compact(&self.usage, today) {
                Ok(()) => self.compacted = today,
                Err(error) => tracing::warn!(%error, "failed to compact old usage"),
            }
        }
        let spent = usage::add(&self.usage, &usage).map_err(|error| {
            tracing::error!(%error, "failed to write usage, retrying with the next batch");
            shared.keep_usage(usage);
            WriteFailure::from(Error::from(error))
        });
        let elsewhere = self.write_usage(&changes).map_err(|error| {
            tracing::error!(%error, "failed to write usage of other processes");
            WriteFailure::from(Error::from(error))
        });
        for change in &mut changes {
            // The requester may have dropped its receiver.
            match change {
                Change::Usage(tenant, days, reply) => {
                    if let (Some(reply), Ok(lines)) = (reply.take(), usage::lines(&self.usage, tenant, days)) {
                        let _ = reply.send(lines);
                    }
                }
                Change::LogBytes(reply) => {
                    if let Some(reply) = reply.take() {
                        let _ = reply.send(self.log_retention.bytes().clone());
                    }
                }
                Change::Totals(reply) => {
                    if let (Some(reply), Ok(totals)) = (reply.take(), ingest::totals(&self.usage)) {
                        let _ = reply.send(totals);
                    }
                }
                _ => {}
            }
        }
        for ((change, outcome), (reply, _permit)) in changes.iter().zip(outcomes).zip(replies) {
            let outcome = match change {
                Change::Usage(..) | Change::Flush => outcome.and(spent.clone()),
                Change::StreamRecords(_) | Change::ReplaceTotals(_) | Change::ForgetStreams(_) => {
                    outcome.and(elsewhere.clone())
                }
                _ => outcome,
            };
            // The caller may have dropped its receiver.
            let _ = reply.send(outcome.map_err(Error::NotWritten));
        }
    }

    /// Writes the usage of other processes, and changes of stream positions, to the usage file.
    fn write_usage(&self, changes: &[Change]) -> Result<(), rusqlite::Error> {
        let records = changes.iter().filter_map(|change| match change {
            Change::StreamRecords(list) => Some(list),
            _ => None,
        });
        ingest::add_usage(&self.usage, records.flatten())?;
        for change in changes {
            match change {
                Change::ReplaceTotals(totals) => ingest::replace(&self.usage, totals)?,
                Change::ForgetStreams(streams) => ingest::forget(&self.usage, streams)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_index<'a>(
        &mut self,
        changes: &[Change],
        lines: impl Iterator<Item = &'a (TenantId, LogLine)>,
    ) -> Result<(), Error> {
        let tx = self.index.unchecked_transaction()?;
        for change in changes {
            match change {
                Change::Jobs(list) => {
                    for (tenant, job) in list {
                        jobs::put(&tx, tenant, job)?;
                    }
                }
                Change::RemoveJob(tenant, id) => jobs::remove(&tx, tenant, id)?,
                Change::Invocations(list) => {
                    for (tenant, invocation) in list {
                        invocations::put(&tx, tenant, invocation)?;
                        self.invocation_retention.added(&tx, tenant)?;
                    }
                }
                Change::Letters(list) => {
                    for (tenant, letter) in list {
                        dead_letters::put(&tx, tenant, letter)?;
                    }
                    dead_letters::trim(&tx, list)?;
                }
                Change::StreamRecords(list) => {
                    for record in list {
                        if !ingest::first(&tx, record)? {
                            continue;
                        }
                        for (tenant, line) in &record.batch.lines {
                            logs::put(&tx, tenant, line)?;
                            self.log_retention.added(tenant, line);
                        }
                        for (tenant, invocation) in &record.batch.invocations {
                            invocations::put(&tx, tenant, invocation)?;
                            self.invocation_retention.added(&tx, tenant)?;
                        }
                    }
                }
                Change::ForgetStreams(streams) => ingest::forget(&tx, streams)?,
                Change::Usage(..)
                | Change::LogBytes(_)
                | Change::Totals(_)
                | Change::ReplaceTotals(_)
                | Change::Flush => {}
            }
        }
        for (tenant, line) in lines {
            logs::put(&tx, tenant, line)?;
            self.log_retention.added(tenant, line);
        }
        self.log_retention.trim(&tx)?;
        self.invocation_retention.trim(&tx)?;
        tx.commit()?;
        Ok(())
    }
}

/// Runs the writer thread until the index is closed and no change waits.
pub(crate) fn run(shared: &Shared, mut store: Store) {
    let mut usage_since: Option<Instant> = None;
    // Free pages left by an earlier run may wait for the first write.
    let mut shrinking = false;
    loop {
        let closed = {
            let mut queues = shared.queues.lock();
            while shrinking && queues.changes.is_empty() && queues.lines.is_empty() && !queues.closed {
                drop(queues);
                shrinking = store.shrink();
                queues = shared.queues.lock();
            }
            while queues.changes.is_empty() && queues.lines.is_empty() && !queues.closed {
                if queues.usage.is_empty() {
                    shared.wake.wait(&mut queues);
                } else {
                    let since = *usage_since.get_or_insert_with(Instant::now);
                    if shared.wake.wait_until(&mut queues, since + USAGE_WAIT).timed_out() {
                        break;
                    }
                }
            }
            queues.closed
        };
        usage_since = None;
        store.drain(shared);
        shrinking = true;
        // There are no more callers, and usage that could not be written now is lost.
        if closed {
            return;
        }
    }
}
