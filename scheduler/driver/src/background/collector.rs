//! Reads the activity records of the fleet's processes (log lines, invocation records, usage) into the owner's index.
//!
//! Each process appends its records to a journal stream of its own ([`fabric_index::activity_records`]). The owner
//! reads all streams, each record once. Usage cannot be recomputed from the streams, because old streams are deleted.
//! Its totals are stored in the registry, together with the position up to which each stream was read, and the next
//! owner continues from there.

use crate::clock::now_ms;
use bytes::Bytes;
use fabric_backend::{
    Backend, Error,
    journal::{Record, StreamInfo},
    registry::Precondition,
};
use fabric_index::{Index, RecordBatch, StreamRecord, Totals, activity_records};
use fabric_types::{Code, Fault};
use futures::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use std::{collections::HashSet, time::Duration};
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// Registry key of the totals.
const TOTALS: &str = "sys/usage";
/// Interval for storing the totals while they change.
const TOTALS_INTERVAL: Duration = Duration::from_secs(60);
/// Interval for listing all streams, in case a notice was lost.
const SCAN_INTERVAL: Duration = Duration::from_secs(600);
/// Delay after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Days for which streams are kept: a day longer than the index keeps log lines.
const KEEP_DAYS: u64 = 8;
/// Maximum records that go into the index at once.
const BATCH: usize = 256;
/// Streams in a page of the list.
const PAGE: usize = 1000;

/// The next record of a stream, or `None` at its end.
type Item = (String, Option<Result<Record, Error>>);

/// A task that reads all activity records into the index.
pub struct Collector {
    backend: Backend,
    index: Index,
    /// Revision of the totals in the registry. The process that wrote them last is the owner.
    totals: Precondition,
    /// Totals of a write with an unknown outcome.
    unresolved_write: Option<Bytes>,
    changed: bool,
    followed: SelectAll<BoxStream<'static, Item>>,
    names: HashSet<String>,
}

fn unavailable(error: &fabric_index::Error) -> Fault {
    Fault::new(Code::Unavailable, format!("the index: {error}"))
}

impl Collector {
    /// Loads the totals of the previous owner.
    ///
    /// # Errors
    /// A backend's fault, or damaged totals.
    pub async fn new(backend: Backend, index: Index) -> Result<Self, Fault> {
        let found = backend.registry.get(TOTALS).await?;
        let totals = match found {
            None => Precondition::Absent,
            Some(entry) => {
                let totals: Totals = serde_json::from_slice(&entry.value)
                    .map_err(|e| Fault::new(Code::Internal, format!("`{TOTALS}` in the registry is damaged: {e}")))?;
                index.replace_totals(totals).await.map_err(|e| unavailable(&e))?;
                Precondition::Revision(entry.revision)
            }
        };
        Ok(Self {
            backend,
            index,
            totals,
            unresolved_write: None,
            changed: false,
            followed: SelectAll::new(),
            names: HashSet::new(),
        })
    }

    /// Reads until `stop`, then stores the totals.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Err(fault)) = stop.run_until_cancelled(self.collect()).await {
            tracing::warn!(%fault, "reading activity records failed, retrying");
            stop.run_until_cancelled(sleep(RETRY_DELAY)).await;
        }
        if let Err(fault) = self.keep_totals().await {
            tracing::warn!(%fault, "storing usage totals failed, the next owner counts usage again from the journal");
        }
    }

    async fn collect(&mut self) -> Result<(), Fault> {
        let mut notices = self.backend.notices.subscribe(activity_records::STREAMS);
        let mut scan = interval_at(Instant::now(), SCAN_INTERVAL);
        let mut keep = interval_at(Instant::now() + TOTALS_INTERVAL, TOTALS_INTERVAL);
        loop {
            tokio::select! {
                _ = scan.tick() => self.scan().await?,
                _ = keep.tick() => self.keep_totals().await?,
                Some(name) = notices.next() => self.follow(name).await?,
                Some(item) = self.followed.next() => self.take(item).await?,
            }
        }
    }

    /// Lists the streams, follows those that have or may receive new records, and deletes the old ones.
    async fn scan(&mut self) -> Result<(), Fault> {
        let mut all: Vec<StreamInfo> = Vec::new();
        loop {
            let after = all.last().map(|stream| stream.name.clone());
            let page = self.backend.journal.streams(activity_records::STREAMS, after.as_deref(), PAGE).await?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                break;
            }
        }
        let read = self.index.read_of_streams().await.map_err(|e| unavailable(&e))?;
        let today = activity_records::day(now_ms());
        (self.followed, self.names) = (SelectAll::new(), HashSet::new());
        let mut old = Vec::new();
        for stream in all {
            let from = read.get(&stream.name).copied().unwrap_or(0);
            let day = activity_records::day_of(&stream.name).unwrap_or(today);
            if from < stream.len || day + 1 >= today {
                self.listen(stream.name, from);
            } else if day + KEEP_DAYS < today {
                old.push(stream.name);
            }
        }
        self.delete(old).await
    }

    /// Deletes streams that were read to their end.
    async fn delete(&mut self, old: Vec<String>) -> Result<(), Fault> {
        if old.is_empty() {
            return Ok(());
        }
        // Store the totals first, so that the next owner has the usage of these streams.
        self.keep_totals().await?;
        for stream in &old {
            self.backend.journal.delete(stream).await?;
        }
        self.index.forget_streams(old).await.map_err(|e| unavailable(&e))?;
        self.changed = true;
        Ok(())
    }

    async fn follow(&mut self, name: String) -> Result<(), Fault> {
        if self.names.contains(&name) || activity_records::day_of(&name).is_none() {
            return Ok(());
        }
        let read = self.index.read_of_streams().await.map_err(|e| unavailable(&e))?;
        self.listen(name.clone(), read.get(&name).copied().unwrap_or(0));
        Ok(())
    }

    fn listen(&mut self, name: String, from: u64) {
        let records = self.backend.journal.follow(&name, from).map(Some).chain(stream::iter([None]));
        let of = name.clone();
        self.followed.push(records.map(move |item| (of.clone(), item)).boxed());
        self.names.insert(name);
    }

    /// Adds a record to the index, together with other records that are ready.
    async fn take(&mut self, first: Item) -> Result<(), Fault> {
        let mut arrived = Vec::new();
        let mut next = Some(first);
        while let Some((stream, item)) = next {
            match item {
                // Deleted, or failed earlier. A notice or the next listing adds the stream again.
                None => drop(self.names.remove(&stream)),
                Some(Err(error)) => tracing::warn!(%stream, %error, "reading an activity stream failed"),
                Some(Ok(record)) => {
                    arrived.push(StreamRecord { batch: decode(&stream, &record), stream, seq: record.seq })
                }
            }
            next = if arrived.len() < BATCH { self.followed.next().now_or_never().flatten() } else { None };
        }
        self.changed |= !arrived.is_empty();
        self.index.take(arrived).await.map_err(|e| unavailable(&e))
    }

    async fn keep_totals(&mut self) -> Result<(), Fault> {
        if !self.changed {
            return Ok(());
        }
        let totals = self.index.totals().await.map_err(|e| unavailable(&e))?;
        let bytes = serde_json::to_vec(&totals).map_err(|e| Fault::new(Code::Internal, e.to_string()))?;
        let bytes = Bytes::from(bytes);
        if let Some(before) = &self.unresolved_write
            && let Some(entry) = self.backend.registry.get(TOTALS).await?
            && entry.value == *before
        {
            self.totals = Precondition::Revision(entry.revision);
        }
        self.unresolved_write = Some(bytes.clone());
        let revision = self.backend.registry.put(TOTALS, bytes, self.totals).await?;
        (self.totals, self.unresolved_write, self.changed) = (Precondition::Revision(revision), None, false);
        Ok(())
    }
}

/// Decodes a record. A damaged record is skipped, because reading it again would not help.
fn decode(stream: &str, record: &Record) -> RecordBatch {
    serde_json::from_slice(&record.bytes).unwrap_or_else(|error| {
        tracing::error!(%stream, seq = record.seq, %error, "activity record is damaged, skipping it");
        RecordBatch::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_embedded::Embedded;
    use fabric_types::{
        Cost,
        id::{FunctionName, NodeId, TenantId},
        rest::node::UsageLine,
    };

    fn record(fuel: u64) -> Bytes {
        let line = UsageLine { cost: Cost { fuel, ..Cost::default() }, ..UsageLine::default() };
        let usage = vec![(TenantId::new("a").unwrap(), 20_787, FunctionName::new("f").unwrap(), line)];
        serde_json::to_vec(&RecordBatch { usage, ..RecordBatch::default() }).unwrap().into()
    }

    async fn post(backend: &Backend, stream: &str, at: u64, records: Vec<Bytes>) {
        backend.journal.append(stream, at, records).await.unwrap();
        backend.notices.publish(stream).await.unwrap();
    }

    async fn fuel(index: &Index) -> u64 {
        index.usage(&TenantId::new("a").unwrap(), 0..u32::MAX).await.unwrap().iter().map(|line| line.cost.fuel).sum()
    }

    /// Runs a collector over this index until `until` fuel is counted.
    async fn collect(backend: &Backend, index: &Index, until: u64, more: impl AsyncFnOnce()) {
        let stop = CancellationToken::new();
        let collector = Collector::new(backend.clone(), index.clone()).await.unwrap();
        let running = tokio::spawn(collector.run(stop.clone()));
        more().await;
        while fuel(index).await < until {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
        assert_eq!(fuel(index).await, until);
    }

    fn stream(node: &str, days_ago: u64) -> String {
        activity_records::stream(&NodeId::new(node).unwrap(), now_ms() - days_ago * 86_400_000)
    }

    #[tokio::test]
    async fn one_owner_after_another_counts_everything_once() {
        let backend = Embedded::in_memory().unwrap();
        let (n1, n2) = (stream("n1", 0), stream("n2", 0));
        post(&backend, &n1, 0, vec![record(1), Bytes::from_static(b"rubbish"), record(2)]).await;
        let (first, second) = (Index::in_memory().unwrap(), Index::in_memory().unwrap());
        collect(&backend, &first, 13, async || post(&backend, &n2, 0, vec![record(10)]).await).await;
        collect(&backend, &second, 113, async || post(&backend, &n1, 3, vec![record(100)]).await).await;
        collect(&backend, &first, 1113, async || post(&backend, &n2, 1, vec![record(1000)]).await).await;
    }

    #[tokio::test]
    async fn old_streams_go_when_they_were_read_and_their_usage_stays() {
        let backend = Embedded::in_memory().unwrap();
        let (old, new) = (stream("n1", KEEP_DAYS + 2), stream("n1", 1));
        post(&backend, &old, 0, vec![record(1)]).await;
        post(&backend, &new, 0, vec![record(10)]).await;
        let index = Index::in_memory().unwrap();
        // Streams that were not read at the time of the listing stay.
        collect(&backend, &index, 11, async || {}).await;
        assert_eq!(backend.journal.streams(activity_records::STREAMS, None, 9).await.unwrap().len(), 2);
        collect(&backend, &index, 11, async || {
            while backend.journal.streams(activity_records::STREAMS, None, 9).await.unwrap().len() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(index.totals().await.unwrap().read, [(new, 1)]);
        collect(&backend, &Index::in_memory().unwrap(), 11, async || {}).await;
    }
}
