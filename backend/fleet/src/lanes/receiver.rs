//! The receiving end of a lane: a task that accepts messages, answers their senders and yields to a newer end. It stops
//! answering when its reader is dropped, so that only a newer end answers.

use super::{
    claim::{Claim, Verdict},
    pieces::{Added, Pieces},
    wire::{Ack, Message, MessageId, Piece},
};
use crate::{Error, handshake::VerifiedSubscription, link::Link, tasks::Tasks};
use fabric_backend::{
    in_process::{LaneInbox, lane_queue},
    lane::LANE_DEPTH,
};
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

struct LaneReceiver<T> {
    link: Link,
    subjects: Subjects,
    claim: Claim,
    since: Instant,
    queue: mpsc::Sender<T>,
    pieces: Pieces,
    recent: Recent,
}

/// Opens an end. Returns after the server has registered its subscriptions and its claim was published.
pub(super) async fn open<T: Message>(link: &Link, subjects: Subjects, tasks: &Tasks) -> Result<LaneInbox<T>, Error> {
    let (queue, inbox) = lane_queue();
    let claims = link.subscribe("open a lane", subjects.claims.clone()).await?;
    let messages = link.subscribe("open a lane", subjects.messages.clone()).await?;
    let receiver = LaneReceiver {
        link: link.clone(),
        claim: Claim::new(),
        since: Instant::now(),
        subjects,
        queue,
        pieces: Pieces::default(),
        recent: Recent::default(),
    };
    receiver.link.publish("open a lane", receiver.subjects.claims.clone(), receiver.claim.encode()).await?;
    receiver.link.flush("open a lane").await?;
    let stop = tasks.stop();
    tasks.spawn(async move {
        stop.run_until_cancelled(receiver.run(messages, claims)).await;
    });
    Ok(inbox)
}

impl<T: Message> LaneReceiver<T> {
    async fn run(mut self, mut messages: VerifiedSubscription, mut claims: VerifiedSubscription) {
        let mut tick = tokio::time::interval_at(Instant::now() + CLAIM_EVERY, CLAIM_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = self.link.connection();
        let mut gaps = connection.borrow_and_update().gaps;
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
                            Verdict::Reclaim => self.reclaim().await,
                            Verdict::Yield => {
                                tracing::info!(lane = self.subjects.messages, "lane taken over by a newer end");
                                return;
                            }
                        },
                    }
                }
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *connection.borrow_and_update();
                    if now.connected && now.gaps != gaps {
                        gaps = now.gaps;
                        self.reclaim().await;
                    }
                }
                _ = tick.tick() => self.reclaim().await,
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

    async fn reclaim(&self) {
        let claim = self.claim.again().encode();
        if let Err(error) = self.link.publish("claim a lane", self.subjects.claims.clone(), claim).await {
            tracing::debug!(%error, "failed to repeat a lane claim");
        }
    }

    /// Accepts a piece. Returns `None` if the reader was dropped.
    fn take(&mut self, payload: bytes::Bytes) -> Option<Ack> {
        let Some(piece) = Piece::decode(payload) else {
            self.link.ignore(&self.subjects.messages, "not a piece of a message");
            return Some(Ack::Refused);
        };
        let id = piece.id;
        if self.recent.set.contains(&id) {
            return Some(Ack::Accepted);
        }
        let whole = match self.pieces.add(piece) {
            Added::Whole(whole) => whole,
            Added::Partial => return Some(Ack::Partial),
            Added::Full => return Some(Ack::Full),
            Added::Refused => {
                self.link.ignore(&self.subjects.messages, "pieces that do not fit");
                self.pieces.forget(id);
                return Some(Ack::Refused);
            }
        };
        // Reserve room before the work of decoding.
        let room = match self.queue.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return Some(Ack::Full),
            Err(TrySendError::Closed(())) => return None,
        };
        self.pieces.forget(id);
        let Some(message) = T::decode(&whole) else {
            self.link.ignore(&self.subjects.messages, "not a message");
            return Some(Ack::Refused);
        };
        room.send(message);
        self.recent.add(id);
        Some(Ack::Accepted)
    }
}
