//! Activity records of a process: log lines, invocation records and usage of the guests that it ran. They go directly
//! into a local index or, in a fleet, through an [`Outbox`] to the process with the index.

use crate::{
    Index,
    fair_drop_queue::{FairDropQueue, QueueLimits},
    logs, usage,
    writer::Usage,
};
use fabric_types::{
    id::{FunctionName, NodeId, TenantId},
    rest::{
        invocation::{Invocation, LogLine},
        node::UsageLine,
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Notify;

/// Maximum number of waiting invocation records, over all tenants. Above it, the oldest records of the tenant with the
/// most are dropped.
const INVOCATIONS: QueueLimits = QueueLimits { items: 10_000, bytes: usize::MAX };
/// Approximate maximum size of the log messages in one [`RecordBatch`], in bytes.
const TOGETHER: usize = 256 * 1024;
/// Maximum number of log lines and invocations in one [`RecordBatch`].
const MANY: usize = 2_000;

/// Common prefix of the names of all activity streams.
pub const STREAMS: &str = "sys/notes/";
/// Milliseconds per day.
const DAY: u64 = 86_400_000;

/// Returns the journal stream for a process's records at this time. Each UTC day has its own stream, so that old ones
/// can be deleted.
#[must_use]
pub fn stream(process: &NodeId, at_ms: u64) -> String {
    format!("{STREAMS}{process}/{:06}", day(at_ms))
}

/// Returns the number of days since 1970.
#[must_use]
pub fn day(at_ms: u64) -> u64 {
    at_ms / DAY
}

/// Returns the day of an activity stream.
#[must_use]
pub fn day_of(stream: &str) -> Option<u64> {
    stream.strip_prefix(STREAMS)?.rsplit_once('/')?.1.parse().ok()
}

/// A batch of activity records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordBatch {
    /// Log lines, in order of arrival.
    #[serde(default)]
    pub lines: Vec<(TenantId, LogLine)>,
    /// Invocation records.
    #[serde(default)]
    pub invocations: Vec<(TenantId, Invocation)>,
    /// Usage by function and UTC day, counted from 1970.
    #[serde(default)]
    pub usage: Vec<(TenantId, u32, FunctionName, UsageLine)>,
}

impl RecordBatch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.invocations.is_empty() && self.usage.is_empty()
    }
}

struct Waiting {
    lines: logs::Queue,
    invocations: FairDropQueue<Invocation>,
    usage: Usage,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { lines: logs::Queue::default(), invocations: FairDropQueue::new(INVOCATIONS), usage: Usage::default() }
    }
}

/// Activity records that wait to be sent. Bounded, with a share for each tenant: the oldest log lines are dropped and a
/// log line reports their number; usage is summed.
#[derive(Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    some: Notify,
}

impl Outbox {
    /// Waits until a record was added. May return although the outbox is empty.
    pub async fn ready(&self) {
        self.some.notified().await;
    }

    /// Removes and returns all waiting records, in batches of bounded size.
    #[must_use]
    pub fn take(&self) -> Vec<RecordBatch> {
        let Waiting { lines, mut invocations, usage } = std::mem::take(&mut *self.waiting.lock());
        let mut all = Vec::new();
        let mut now = RecordBatch {
            usage: usage.into_iter().map(|((tenant, day, function), line)| (tenant, day, function, line)).collect(),
            ..RecordBatch::default()
        };
        let (mut bytes, mut count) = (0, 0);
        let mut next = |now: &mut RecordBatch, more: usize| {
            bytes += more;
            count += 1;
            if bytes > TOGETHER || count > MANY {
                (bytes, count) = (more, 1);
                all.push(std::mem::take(now));
            }
        };
        let (lines, notes) = lines.finish();
        for (tenant, line) in lines.into_iter().chain(notes) {
            next(&mut now, line.message.len());
            now.lines.push((tenant, line));
        }
        for taken in invocations.take() {
            if taken.dropped > 0 {
                let (tenant, dropped) = (&taken.tenant, taken.dropped);
                tracing::warn!(%tenant, dropped, "invocation records dropped, they arrived faster than they could be sent");
            }
            for invocation in taken.items {
                next(&mut now, 0);
                now.invocations.push((taken.tenant.clone(), invocation));
            }
        }
        if !now.is_empty() {
            all.push(now);
        }
        all
    }
}

/// The destination of a process's activity records. Cheap to clone.
#[derive(Clone)]
pub enum RecordSink {
    /// A local index.
    Index(Index),
    /// An outbox for shipping.
    Outbox(Arc<Outbox>),
}

impl RecordSink {
    /// Adds a log line without waiting.
    pub fn log(&self, tenant: TenantId, line: LogLine) {
        match self {
            Self::Index(index) => index.log(vec![(tenant, line)]),
            Self::Outbox(outbox) => {
                outbox.waiting.lock().lines.push(tenant, line);
                outbox.some.notify_one();
            }
        }
    }

    /// Adds to a function's usage without waiting; `delta.function` is ignored.
    pub fn add_usage(&self, tenant: &TenantId, function: &FunctionName, delta: &UsageLine) {
        match self {
            Self::Index(index) => index.add_usage(tenant, function, delta),
            Self::Outbox(outbox) => {
                let mut waiting = outbox.waiting.lock();
                let key = (tenant.clone(), usage::today(), function.clone());
                usage::merge(waiting.usage.entry(key).or_default(), delta);
                drop(waiting);
                outbox.some.notify_one();
            }
        }
    }

    /// Inserts or updates invocation records.
    ///
    /// # Errors
    /// [`crate::Error::NotWritten`] of the index; a retry is safe.
    pub async fn put_invocations(&self, invocations: Vec<(TenantId, Invocation)>) -> Result<(), crate::Error> {
        match self {
            Self::Index(index) => return index.put_invocations(invocations).await,
            Self::Outbox(outbox) => {
                let mut waiting = outbox.waiting.lock();
                for (tenant, invocation) in invocations {
                    waiting.invocations.push(tenant, 0, invocation);
                }
                drop(waiting);
                outbox.some.notify_one();
            }
        }
        Ok(())
    }
}
