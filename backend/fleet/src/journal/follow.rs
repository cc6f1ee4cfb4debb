//! Following a stream. The name of the next chunk is known, so a follower requests it after each change signal, and
//! periodically.

use super::{Shared, chunk, same_incarnation, stream_path::StreamPath};
use crate::Error;
use fabric_backend::{in_process::ChangeSignal, journal::Record};
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Records that a follower reads at once while it catches up.
const BATCH: usize = 512;

struct Follower {
    // Weak, so that a follower does not keep the journal open.
    shared: Weak<Shared>,
    signal: Arc<ChangeSignal>,
    stream: String,
    next: u64,
    /// The stream's incarnation and the entity tag of its first chunk, after the stream was first seen.
    incarnation: Option<(u64, String)>,
    /// `true` if the next chunk begins at `next`.
    at_end: bool,
    ready: VecDeque<Record>,
    failed: bool,
    poll_interval: Duration,
    stop: CancellationToken,
}

/// The outcome of one look at the store.
enum PollOutcome {
    Records,
    Empty,
    Ended,
}

pub(super) fn follow(
    shared: &Arc<Shared>,
    stream: &str,
    from: u64,
    stop: CancellationToken,
) -> BoxStream<'static, Result<Record, Error>> {
    let follower = Follower {
        signal: shared.signals.follow(stream),
        poll_interval: shared.poll_interval,
        shared: Arc::downgrade(shared),
        stream: stream.to_owned(),
        next: from,
        incarnation: None,
        at_end: false,
        ready: VecDeque::new(),
        failed: false,
        stop,
    };
    stream::unfold(follower, |mut follower| async move { follower.next().await.map(|item| (item, follower)) }).boxed()
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Record, Error>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.failed || self.stop.is_cancelled() {
                return None;
            }
            let (signal, stop) = (Arc::clone(&self.signal), self.stop.clone());
            // Created before the look, so that an append between the look and the wait is not missed.
            let notified = signal.notified();
            let shared = self.shared.upgrade()?;
            let polled = stop.run_until_cancelled(self.poll(&shared)).await?;
            drop(shared);
            match polled {
                Ok(PollOutcome::Records) => {}
                Ok(PollOutcome::Ended) => return None,
                Ok(PollOutcome::Empty) if signal.ended() => return None,
                Ok(PollOutcome::Empty) => {
                    // The timeout is not an error: the next look recovers from a lost notice.
                    let _ = stop.run_until_cancelled(tokio::time::timeout(self.poll_interval, notified)).await?;
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn poll(&mut self, shared: &Shared) -> Result<PollOutcome, Error> {
        if self.signal.ended() {
            return Ok(PollOutcome::Ended);
        }
        match self.incarnation.clone() {
            Some(incarnation) if self.at_end => self.poll_next(shared, &incarnation).await,
            _ => self.catch_up(shared).await,
        }
    }

    async fn poll_next(&mut self, shared: &Shared, incarnation: &(u64, String)) -> Result<PollOutcome, Error> {
        let place = StreamPath::of(&shared.objects, &self.stream)?;
        let path = place.chunk(incarnation.0, self.next);
        if let Some(found) = shared.objects.get(&path, chunk::LONGEST).await? {
            let (header, records) = chunk::decode(path.as_ref(), found.bytes)?;
            self.next = header.end();
            self.ready.extend((header.first..).zip(records).map(|(seq, bytes)| Record { seq, bytes }));
            return Ok(PollOutcome::Records);
        }
        // No new chunk: either nothing happened or the stream was deleted.
        let now = shared.objects.head(&place.first()).await?;
        let same = now.is_some_and(|tag| same_incarnation(incarnation, &(incarnation.0, tag)));
        Ok(if same { PollOutcome::Empty } else { PollOutcome::Ended })
    }

    async fn catch_up(&mut self, shared: &Shared) -> Result<PollOutcome, Error> {
        let (now, found) = shared.records(&self.stream, self.next, BATCH).await?;
        match (&self.incarnation, now) {
            (Some(_), None) => return Ok(PollOutcome::Ended),
            (Some(before), Some(now)) if !same_incarnation(before, &now) => return Ok(PollOutcome::Ended),
            (_, None) => return Ok(PollOutcome::Empty),
            (_, now) => self.incarnation = now,
        }
        // Fewer records than requested: the stream has no more, and the last one ends its chunk.
        let Some(last) = found.last() else { return Ok(PollOutcome::Empty) };
        self.next = last.seq + 1;
        self.at_end = found.len() < BATCH;
        self.ready.extend(found);
        Ok(PollOutcome::Records)
    }
}
