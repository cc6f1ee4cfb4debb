//! The journal as one object per append. See [`chunk`] for the format, [`stream_path`] for the names, and [`walk`] for
//! listing streams.
//!
//! An append creates the object at the length that the writer expects, provided that it does not exist. The store
//! therefore admits only one of two competing owners, independent of leases and clocks (tested by
//! `of_many_processes_one_wins_each_time`). In parallel the writer checks that its stream still exists, since every
//! position is free after a deletion.

mod chunk;
mod follow;
mod notice;
mod stream_path;
mod walk;

use crate::{
    Error,
    link::{Counters, Link},
    objects::{Objects, WriteOutcome, same_tag},
    tasks::{TaskGuard, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    in_process::ChangeSignals,
    journal::{Journal, Record, StreamInfo},
};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use stream_path::{Head, StreamPath};

/// The subject of append and deletion notices.
pub(crate) const SUBJECT: &str = "journal";
/// Concurrent requests per call.
const AT_ONCE: usize = 16;
/// Number of streams whose head is cached. Above it, heads that are not in use are dropped.
const REMEMBERED: usize = 16_384;
/// Number of appends with an unknown outcome that are remembered, so that a retry recognises them.
const MAX_UNKNOWN: usize = 4096;
/// Maximum attempts of an append after a stale cached head.
const ROUNDS: u32 = 4;

type StreamLock = Arc<tokio::sync::Mutex<Option<Head>>>;

/// An append that failed without an answer and may have been written.
#[derive(Clone, Copy, PartialEq, Eq)]
struct UnknownAppend {
    digest: [u8; 32],
    nonce: u64,
    incarnation: u64,
}

pub(super) struct Shared {
    objects: Objects,
    link: Link,
    signals: ChangeSignals,
    /// A lock per stream, so that one writer of this process appends at a time, with the cached head.
    stream_locks: Mutex<HashMap<String, StreamLock>>,
    unknown_appends: Mutex<HashMap<(String, u64), UnknownAppend>>,
    poll_interval: Duration,
}

pub(crate) struct FleetJournal {
    shared: Arc<Shared>,
    tasks: Tasks,
    _guard: Arc<TaskGuard>,
}

fn conflict(stream: &str, expected: u64, found: u64) -> Error {
    Error::Conflict {
        what: "journal stream",
        key: stream.to_owned(),
        expected: format!("{expected} records"),
        found: format!("{found} records"),
    }
}

fn digest(records: &[Bytes]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for record in records {
        hasher.update(&(record.len() as u64).to_le_bytes());
        hasher.update(record);
    }
    *hasher.finalize().as_bytes()
}

impl Shared {
    fn stream_lock(&self, stream: &str) -> StreamLock {
        let mut stream_locks = self.stream_locks.lock();
        if let Some(lock) = stream_locks.get(stream) {
            return Arc::clone(lock);
        }
        if stream_locks.len() >= REMEMBERED {
            stream_locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(stream_locks.entry(stream.to_owned()).or_default())
    }

    /// Checks if the chunk at `at` is an append of this process that was reported as failed. Returns it if so.
    async fn was_done(
        &self,
        place: &StreamPath,
        stream: &str,
        at: u64,
        records: &[Bytes],
    ) -> Result<Option<UnknownAppend>, Error> {
        let Some(unknown) = self.unknown_appends.lock().get(&(stream.to_owned(), at)).copied() else { return Ok(None) };
        if unknown.digest != digest(records) {
            return Ok(None);
        }
        let path = if at == 0 { place.first() } else { place.chunk(unknown.incarnation, at) };
        let there = self.objects.get_start(&path, chunk::HEADER).await?;
        let header = there.map(|found| chunk::header(path.as_ref(), &found.bytes)).transpose()?;
        Ok(header
            .is_some_and(|header| header.nonce == unknown.nonce && header.incarnation == unknown.incarnation)
            .then_some(unknown))
    }

    async fn append(&self, stream: &str, expected: u64, records: &[Bytes]) -> Result<u64, Error> {
        let place = StreamPath::of(&self.objects, stream)?;
        let lock = self.stream_lock(stream);
        let mut head = lock.lock().await;
        for _ in 0..ROUNDS {
            let fresh = head.is_none();
            if fresh {
                *head = place.read_head(&self.objects).await?;
            }
            let len = head.as_ref().map_or(0, |head| head.len);
            if len != expected || records.is_empty() {
                if let Some(known) = head.as_ref()
                    && !fresh
                    && !(len > expected && place.is_current(&self.objects, known).await?)
                {
                    // The cached head is stale, or may be.
                    *head = None;
                    continue;
                }
                if len == expected {
                    return Ok(len);
                }
                if self.was_done(&place, stream, expected, records).await?.is_some() {
                    self.unknown_appends.lock().remove(&(stream.to_owned(), expected));
                    return Ok(expected + records.len() as u64);
                }
                return Err(conflict(stream, expected, len));
            }
            if let Some(len) = self.write(&place, stream, &mut head, expected, records).await? {
                return Ok(len);
            }
        }
        Err(conflict(stream, expected, head.as_ref().map_or(0, |head| head.len)))
    }

    /// Creates the chunk. Returns `None` if another chunk exists or the stream was deleted; the caller reads the head
    /// again.
    async fn write(
        &self,
        place: &StreamPath,
        stream: &str,
        head: &mut Option<Head>,
        expected: u64,
        records: &[Bytes],
    ) -> Result<Option<u64>, Error> {
        let key = (stream.to_owned(), expected);
        let before = self.unknown_appends.lock().get(&key).copied().filter(|unknown| unknown.digest == digest(records));
        let nonce = before.map_or_else(rand::random, |unknown| unknown.nonce);
        let incarnation = match (head.as_ref(), before) {
            (Some(head), _) => head.incarnation,
            (None, Some(unknown)) => unknown.incarnation,
            (None, None) => rand::random(),
        };
        let Some(bytes) = chunk::encode(incarnation, nonce, expected, records) else {
            return Err(Error::Backend {
                backend: "object store",
                context: format!("append to journal stream `{stream}`"),
                source: format!("one append holds at most {} bytes", chunk::LONGEST).into(),
                retryable: false,
            });
        };
        let path = if head.is_some() { place.chunk(incarnation, expected) } else { place.first() };
        let written = match head.as_ref() {
            None => self.objects.create(&path, bytes).await,
            // The check runs concurrently and adds no latency. A deletion between the two counts as a deletion after
            // the append.
            Some(head) => {
                let both = futures::try_join!(self.objects.create(&path, bytes), place.is_current(&self.objects, head));
                match both {
                    Ok((written, true)) => Ok(written),
                    Ok((_, false)) => Ok(WriteOutcome::Missing),
                    Err(error) => Err(error),
                }
            }
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                *head = None;
                let mut unknown = self.unknown_appends.lock();
                if unknown.len() >= MAX_UNKNOWN {
                    unknown.clear();
                }
                unknown.insert(key, UnknownAppend { digest: digest(records), nonce, incarnation });
                return Err(error);
            }
        };
        match written {
            WriteOutcome::Written(tag) => {
                if before.is_some() {
                    self.unknown_appends.lock().remove(&key);
                }
                let len = expected + records.len() as u64;
                *head = Some(match head.take() {
                    Some(head) => Head { len, ..head },
                    None => Head { incarnation, tag, len },
                });
                self.signals.notify(stream);
                self.tell(stream, notice::APPENDED).await;
                Ok(Some(len))
            }
            WriteOutcome::Conflict(_) | WriteOutcome::Missing => {
                Counters::count(&self.link.counters.store_races);
                *head = None;
                Ok(None)
            }
        }
    }

    async fn tell(&self, stream: &str, what: u8) {
        let notice = notice::encode(self.link.origin, what, stream);
        self.link.publish_notice("publish an append notice", self.link.subject(SUBJECT), notice).await;
    }

    /// Returns up to `limit` records, starting at `from`, and the identity of their stream.
    async fn records(
        &self,
        stream: &str,
        from: u64,
        limit: usize,
    ) -> Result<(Option<(u64, String)>, Vec<Record>), Error> {
        let place = StreamPath::of(&self.objects, stream)?;
        let Some(first) = self.objects.get(&place.first(), chunk::LONGEST).await? else {
            return Ok((None, Vec::new()));
        };
        let (header, begin) = chunk::decode(stream, first.bytes)?;
        let whose = Some((header.incarnation, first.etag));
        let mut records = Vec::new();
        take(&header, begin, from, limit, &mut records);
        if records.len() >= limit {
            return Ok((whose, records));
        }
        let places = place.chunks(&self.objects, header.incarnation).await?;
        // The last chunk that begins at or before `from` may contain it.
        let skip = places.partition_point(|at| *at <= from).saturating_sub(1);
        let mut expected = if skip == 0 { Some(header.end()) } else { None };
        let mut chunks = stream::iter(places.into_iter().skip(skip))
            .map(async |at| {
                let path = place.chunk(header.incarnation, at);
                let found = self.objects.get(&path, chunk::LONGEST).await?;
                found.map(|found| chunk::decode(path.as_ref(), found.bytes)).transpose()
            })
            .buffered(AT_ONCE);
        while records.len() < limit
            && let Some(chunk) = chunks.next().await
        {
            // The chunk disappeared after the listing: the stream was deleted.
            let Some((header, found)) = chunk? else { return Ok((None, Vec::new())) };
            if expected.is_some_and(|expected| expected != header.first) {
                return Err(Error::Damaged(format!("journal stream `{stream}` has a gap before {}", header.first)));
            }
            expected = Some(header.end());
            take(&header, found, from, limit, &mut records);
        }
        Ok((whose, records))
    }
}

/// Moves the records from `from` on to `out`, which receives at most `limit` records in total.
fn take(header: &chunk::Header, records: Vec<Bytes>, from: u64, limit: usize, out: &mut Vec<Record>) {
    let numbered = (header.first..).zip(records).filter(|(seq, _)| *seq >= from);
    let room = limit.saturating_sub(out.len());
    out.extend(numbered.take(room).map(|(seq, bytes)| Record { seq, bytes }));
}

impl FleetJournal {
    pub(crate) fn new(
        objects: Objects,
        link: Link,
        poll_interval: Duration,
        tasks: &Tasks,
        guard: &Arc<TaskGuard>,
    ) -> Self {
        let shared = Shared {
            objects,
            link,
            signals: ChangeSignals::default(),
            stream_locks: Mutex::default(),
            unknown_appends: Mutex::default(),
            poll_interval,
        };
        Self { shared: Arc::new(shared), tasks: tasks.clone(), _guard: Arc::clone(guard) }
    }

    /// Returns a task that receives the appends and deletions of other processes.
    pub(crate) async fn listen(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        notice::listen(&self.shared, self.tasks.stop()).await
    }
}

#[async_trait]
impl Journal for FleetJournal {
    async fn append(&self, stream: &str, expected_len: u64, records: Vec<Bytes>) -> Result<u64, Error> {
        self.shared.append(stream, expected_len, &records).await
    }

    async fn read(&self, stream: &str, from: u64, limit: usize) -> Result<Vec<Record>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        Ok(self.shared.records(stream, from, limit).await?.1)
    }

    fn follow(&self, stream: &str, from: u64) -> BoxStream<'static, Result<Record, Error>> {
        follow::follow(&self.shared, stream, from, self.tasks.stop())
    }

    async fn streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamInfo>, Error> {
        walk::streams(&self.shared.objects, prefix, after, limit).await
    }

    async fn delete(&self, stream: &str) -> Result<(), Error> {
        let shared = &self.shared;
        let place = StreamPath::of(&shared.objects, stream)?;
        let lock = shared.stream_lock(stream);
        let mut head = lock.lock().await;
        *head = None;
        // Listed before the first chunk is deleted, and so before a new stream of this name can begin. Only old chunks
        // are removed.
        let chunks = shared.objects.list_folder(&place.folder).await?.objects;
        let first = place.first();
        shared.objects.delete(&first).await?;
        let rest = chunks.into_iter().map(|meta| meta.location).filter(|path| *path != first);
        stream::iter(rest)
            .map(async |path| shared.objects.delete(&path).await)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        shared.signals.end(stream);
        shared.tell(stream, notice::DELETED).await;
        Ok(())
    }
}

/// Returns `true` if two heads belong to the same stream.
fn same_incarnation(a: &(u64, String), b: &(u64, String)) -> bool {
    a.0 == b.0 && same_tag(&a.1, &b.1)
}
