//! Following a stream. The name of the next chunk is known, so a follower requests it after each change signal, and
//! periodically.

use super::{Shared, change_signal::ChangeSignal, chunk, same_life, stream_path::StreamPath};
use crate::Error;
use fabric_backend::journal::Record;
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
    bell: Arc<ChangeSignal>,
    stream: String,
    next: u64,
    /// The stream's life and the entity tag of its first chunk, after the stream was first seen.
    life: Option<(u64, String)>,
    /// `true` if the next chunk begins at `next`.
    at_end: bool,
    ready: VecDeque<Record>,
    failed: bool,
    look_every: Duration,
    stop: CancellationToken,
}

/// The outcome of one look at the store.
enum Look {
    Records,
    Nothing,
    Over,
}

pub(super) fn follow(
    shared: &Arc<Shared>,
    stream: &str,
    from: u64,
    stop: CancellationToken,
) -> BoxStream<'static, Result<Record, Error>> {
    let follower = Follower {
        bell: shared.bells.follow(stream),
        look_every: shared.look_every,
        shared: Arc::downgrade(shared),
        stream: stream.to_owned(),
        next: from,
        life: None,
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
            let (bell, stop) = (Arc::clone(&self.bell), self.stop.clone());
            // Created before the look, so that an append between the look and the wait is not missed.
            let rung = bell.rung();
            let shared = self.shared.upgrade()?;
            let looked = stop.run_until_cancelled(self.look(&shared)).await?;
            drop(shared);
            match looked {
                Ok(Look::Records) => {}
                Ok(Look::Over) => return None,
                Ok(Look::Nothing) if bell.ended() => return None,
                Ok(Look::Nothing) => {
                    // The timeout is not an error: the next look recovers from a lost notice.
                    let _ = stop.run_until_cancelled(tokio::time::timeout(self.look_every, rung)).await?;
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn look(&mut self, shared: &Shared) -> Result<Look, Error> {
        if self.bell.ended() {
            return Ok(Look::Over);
        }
        match self.life.clone() {
            Some(life) if self.at_end => self.look_for_next(shared, &life).await,
            _ => self.catch_up(shared).await,
        }
    }

    async fn look_for_next(&mut self, shared: &Shared, life: &(u64, String)) -> Result<Look, Error> {
        let place = StreamPath::of(&shared.objects, &self.stream)?;
        let path = place.chunk(life.0, self.next);
        if let Some(found) = shared.objects.get(&path, chunk::LONGEST).await? {
            let (header, records) = chunk::decode(path.as_ref(), found.bytes)?;
            self.next = header.end();
            self.ready.extend((header.first..).zip(records).map(|(seq, bytes)| Record { seq, bytes }));
            return Ok(Look::Records);
        }
        // No new chunk: either nothing happened or the stream was deleted.
        let now = shared.objects.head(&place.first()).await?;
        let same = now.is_some_and(|tag| same_life(life, &(life.0, tag)));
        Ok(if same { Look::Nothing } else { Look::Over })
    }

    async fn catch_up(&mut self, shared: &Shared) -> Result<Look, Error> {
        let (now, found) = shared.records(&self.stream, self.next, BATCH).await?;
        match (&self.life, now) {
            (Some(_), None) => return Ok(Look::Over),
            (Some(before), Some(now)) if !same_life(before, &now) => return Ok(Look::Over),
            (_, None) => return Ok(Look::Nothing),
            (_, now) => self.life = now,
        }
        // Fewer records than requested: the stream has no more, and the last one ends its chunk.
        let Some(last) = found.last() else { return Ok(Look::Nothing) };
        self.next = last.seq + 1;
        self.at_end = found.len() < BATCH;
        self.ready.extend(found);
        Ok(Look::Records)
    }
}
