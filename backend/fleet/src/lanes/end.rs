//! The receiving end of a lane: a task that accepts messages, answers their senders and yields to a newer end. It stops
//! answering when its reader is dropped, so that only a newer end answers.

use super::{
    claim::{Claim, Verdict},
    pieces::{Added, Pieces},
    wire::{Answer, Message, MessageId, Piece},
};
use crate::{Error, link::Link, meet::Heard, tasks::Tasks};
use fabric_backend::lane::LANE_DEPTH;
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, MissedTickBehavior},
};

/// Number of accepted messages remembered to detect repetitions.
const RECENT: usize = 4 * LANE_DEPTH;
/// Interval between repeated claims.
const CLAIM_EVERY: Duration = Duration::from_secs(10);

/// The subjects of a lane.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    pub(super) messages: String,
    pub(super) claims: String,
}

/// The most recently accepted messages.
#[derive(Default)]
struct Recent {
    order: VecDeque<MessageId>,
    set: HashSet<MessageId>,
}

impl Recent {
    fn add(&mut self, id: MessageId) {
        if self.set.insert(id) {
            self.order.push_back(id);
            if self.order.len() > RECENT
                && let Some(old) = self.order.pop_front()
            {
                self.set.remove(&old);
            }
        }
    }
}

struct End<T> {
    link: Link,
    subjects: Subjects,
    claim: Claim,
    since: Instant,
    queue: mpsc::Sender<T>,
    pieces: Pieces,
    recent: Recent,
}

/// Opens an end. Returns after the server has registered its subscriptions and its claim was published.
pub(super) async fn open<T: Message>(
    link: &Link,
    subjects: Subjects,
    tasks: &Tasks,
) -> Result<mpsc::Receiver<T>, Error> {
    let (queue, reader) = mpsc::channel(LANE_DEPTH);
    let claims = link.subscribe("open a lane", subjects.claims.clone()).await?;
    let messages = link.subscribe("open a lane", subjects.messages.clone()).await?;
    let end = End {
        link: link.clone(),
        claim: Claim::new(),
        since: Instant::now(),
        subjects,
        queue,
        pieces: Pieces::default(),
        recent: Recent::default(),
    };
    end.link.publish("open a lane", end.subjects.claims.clone(), end.claim.encode()).await?;
    end.link.flush("open a lane").await?;
    let stop = tasks.stop();
    tasks.spawn(async move {
        stop.run_until_cancelled(end.run(messages, claims)).await;
    });
    Ok(reader)
}

impl<T: Message> End<T> {
    async fn run(mut self, mut messages: Heard, mut claims: Heard) {
        let mut tick = tokio::time::interval_at(Instant::now() + CLAIM_EVERY, CLAIM_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hearing = self.link.hearing();
        let mut gaps = hearing.borrow_and_update().gaps;
        let queue = self.queue.clone();
        loop {
            tokio::select! {
                // A newer end's claim is handled before messages that are already meant for that end.
                biased;
                () = queue.closed() => return,
                claim = claims.next() => {
                    let Some(claim) = claim else { return };
                    match Claim::decode(claim.payload) {
                        None => self.link.ignore(&self.subjects.claims, "not a claim"),
                        Some(claim) => match self.claim.judge(self.since.elapsed(), claim) {
                            Verdict::Nothing => {}
                            Verdict::Insist => self.insist().await,
                            Verdict::Yield => {
                                tracing::info!(lane = self.subjects.messages, "lane taken over by a newer end");
                                return;
                            }
                        },
                    }
                }
                changed = hearing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *hearing.borrow_and_update();
                    if now.connected && now.gaps != gaps {
                        gaps = now.gaps;
                        self.insist().await;
                    }
                }
                _ = tick.tick() => self.insist().await,
                message = messages.next() => {
                    let Some(message) = message else { return };
                    let Some(reply) = message.reply else {
                        self.link.ignore(&self.subjects.messages, "no reply subject");
                        continue;
                    };
                    let Some(answer) = self.take(message.payload) else { return };
                    let sealed = self.link.seal.seal_answer(message.from, &answer.encode());
                    // If the answer is lost, the sender repeats its request.
                    let _ = self.link.publish_raw("answer a sender", reply.to_string(), sealed).await;
                }
            }
        }
    }

    async fn insist(&self) {
        let claim = self.claim.again().encode();
        if let Err(error) = self.link.publish("claim a lane", self.subjects.claims.clone(), claim).await {
            tracing::debug!(%error, "failed to repeat a lane claim");
        }
    }

    /// Accepts a piece. Returns `None` if the reader was dropped.
    fn take(&mut self, payload: bytes::Bytes) -> Option<Answer> {
        let Some(piece) = Piece::decode(payload) else {
            self.link.ignore(&self.subjects.messages, "not a piece of a message");
            return Some(Answer::Refused);
        };
        let id = piece.id;
        if self.recent.set.contains(&id) {
            return Some(Answer::Taken);
        }
        let whole = match self.pieces.add(piece) {
            Added::Whole(whole) => whole,
            Added::Kept => return Some(Answer::Kept),
            Added::Full => return Some(Answer::Full),
            Added::Refused => {
                self.link.ignore(&self.subjects.messages, "pieces that do not fit");
                self.pieces.forget(id);
                return Some(Answer::Refused);
            }
        };
        // Reserve room before the work of decoding.
        let room = match self.queue.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return Some(Answer::Full),
            Err(TrySendError::Closed(())) => return None,
        };
        self.pieces.forget(id);
        let Some(message) = T::decode(&whole) else {
            self.link.ignore(&self.subjects.messages, "not a message");
            return Some(Answer::Refused);
        };
        room.send(message);
        self.recent.add(id);
        Some(Answer::Taken)
    }
}
