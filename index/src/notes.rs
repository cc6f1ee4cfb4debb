//! What a process notes about the guests that it ran, on its way to an index: into the one beside it at once, or, in a
//! fleet, through an [`Outbox`] to wherever the index is.

use crate::{
    Index,
    fair::{FairQueue, QueueLimits},
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

/// Invocations that may wait, of all tenants together; of more the oldest of the tenant with the most are dropped.
const INVOCATIONS: QueueLimits = QueueLimits { items: 10_000, bytes: usize::MAX };
/// Bytes of log messages in one [`Noted`], about.
const TOGETHER: usize = 256 * 1024;
/// Log lines, or invocations, in one.
const MANY: usize = 2_000;

/// What the names of all streams of notes begin with.
pub const STREAMS: &str = "sys/notes/";
/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// The journal stream for a process's notes of that moment: a new one each day (UTC), so that old ones can go.
#[must_use]
pub fn stream(process: &NodeId, at_ms: u64) -> String {
    format!("{STREAMS}{process}/{:06}", day(at_ms))
}

/// Days since 1970.
#[must_use]
pub fn day(at_ms: u64) -> u64 {
    at_ms / DAY
}

/// The day of a stream of notes.
#[must_use]
pub fn day_of(stream: &str) -> Option<u64> {
    stream.strip_prefix(STREAMS)?.rsplit_once('/')?.1.parse().ok()
}

/// Notes that travel together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// Log lines, in the order they came.
    #[serde(default)]
    pub lines: Vec<(TenantId, LogLine)>,
    /// Calls.
    #[serde(default)]
    pub invocations: Vec<(TenantId, Invocation)>,
    /// What functions spent, by UTC day from 1970.
    #[serde(default)]
    pub usage: Vec<(TenantId, u32, FunctionName, UsageLine)>,
}

impl Noted {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.invocations.is_empty() && self.usage.is_empty()
    }
}

struct Waiting {
    lines: logs::Queue,
    invocations: FairQueue<Invocation>,
    usage: Usage,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { lines: logs::Queue::default(), invocations: FairQueue::new(INVOCATIONS), usage: Usage::default() }
    }
}

/// Notes that wait to be sent. Bounded, with a share for each tenant: of log lines the oldest give way, and a line says
/// how many; usage is summed.
#[derive(Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    some: Notify,
}

impl Outbox {
    /// Returns when there is something, or there was.
    pub async fn some(&self) {
        self.some.notified().await;
    }

    /// Everything that waits, in parts of a size that travels well.
    #[must_use]
    pub fn take(&self) -> Vec<Noted> {
        let Waiting { lines, mut invocations, usage } = std::mem::take(&mut *self.waiting.lock());
        let mut all = Vec::new();
        let mut now = Noted {
            usage: usage.into_iter().map(|((tenant, day, function), line)| (tenant, day, function, line)).collect(),
            ..Noted::default()
        };
        let (mut bytes, mut count) = (0, 0);
        let mut next = |now: &mut Noted, more: usize| {
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
                tracing::warn!(%tenant, dropped, "invocation records came faster than they could be sent");
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

/// Where a process puts its notes. Cloning is cheap.
#[derive(Clone)]
pub enum Notes {
    /// Into the index.
    Here(Index),
    /// Into what is sent.
    Sent(Arc<Outbox>),
}

impl Notes {
    /// Hands over a log line without waiting.
    pub fn log(&self, tenant: TenantId, line: LogLine) {
        match self {
            Self::Here(index) => index.log(vec![(tenant, line)]),
            Self::Sent(outbox) => {
                outbox.waiting.lock().lines.push(tenant, line);
                outbox.some.notify_one();
            }
        }
    }

    /// Adds to a function's usage without waiting; `delta.function` is not looked at.
    pub fn add_usage(&self, tenant: &TenantId, function: &FunctionName, delta: &UsageLine) {
        match self {
            Self::Here(index) => index.add_usage(tenant, function, delta),
            Self::Sent(outbox) => {
                let mut waiting = outbox.waiting.lock();
                let key = (tenant.clone(), usage::today(), function.clone());
                usage::merge(waiting.usage.entry(key).or_default(), delta);
                drop(waiting);
                outbox.some.notify_one();
            }
        }
    }

    /// Puts invocations, new or changed.
    ///
    /// # Errors
    /// [`crate::Error::NotWritten`] of the index; doing it again is safe.
    pub async fn put_invocations(&self, invocations: Vec<(TenantId, Invocation)>) -> Result<(), crate::Error> {
        match self {
            Self::Here(index) => return index.put_invocations(invocations).await,
            Self::Sent(outbox) => {
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
