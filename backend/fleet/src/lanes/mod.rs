//! Lanes as NATS requests. A message counts as sent when the receiver's bounded queue has accepted it. See [`receiver`] for
//! the receiver.

mod claim;
pub(crate) mod fuzzing;
mod pieces;
mod receiver;
mod wire;

use crate::{
    Error,
    link::Link,
    seal,
    tasks::{TaskGuard, Tasks},
};
use async_nats::{Request, RequestErrorKind};
use async_trait::async_trait;
use fabric_backend::{
    in_process::SCHEDULER,
    lane::{FromNode, Lanes, NodeInbox, SchedulerInbox, ToNode},
};
use fabric_types::id::NodeId;
use receiver::Subjects;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use wire::{Ack, Message, Piece};

/// Unanswered requests before the receiver counts as closed.
const SILENT: u32 = 3;
/// Minimum and maximum backoff while a lane is full.
const FULL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// Interval between attempts while a lane does not exist or NATS is disconnected.
const ABSENT: Duration = Duration::from_millis(50);
/// Bytes of NATS's maximum payload reserved for headers.
const RESERVE: usize = seal::HEADER + wire::HEADER + 256;

pub(crate) struct FleetLanes {
    link: Link,
    tasks: Tasks,
    grace: Duration,
    seq: AtomicU64,
    _guard: Arc<TaskGuard>,
}

/// The outcome of one request.
enum RequestOutcome {
    Answered(Ack),
    NoReceiver,
    NoAnswer,
}

impl FleetLanes {
    pub(crate) fn new(link: Link, grace: Duration, tasks: &Tasks, guard: &Arc<TaskGuard>) -> Self {
        Self { link, tasks: tasks.clone(), grace, seq: AtomicU64::new(0), _guard: Arc::clone(guard) }
    }

    fn lane(&self, node: &NodeId) -> Subjects {
        Subjects {
            messages: self.link.subject(&format!("lane.{node}")),
            claims: self.link.subject(&format!("claim.lane.{node}")),
        }
    }

    fn inbox(&self) -> Subjects {
        Subjects { messages: self.link.subject("inbox"), claims: self.link.subject("claim.inbox") }
    }

    async fn request(&self, subject: &str, payload: &[u8]) -> Result<RequestOutcome, Error> {
        let timeout = self.link.timeout();
        // Every request has a number of its own, even a repeated one, since a receiver accepts each number once.
        let (number, payload) = self.link.seal.seal(subject, payload);
        let request = Request::new().payload(payload).timeout(Some(timeout));
        // The outer limit covers a client that hangs before it waits for the answer.
        let outcome =
            tokio::time::timeout(timeout * 2, self.link.client().send_request(subject.to_owned(), request)).await;
        match outcome {
            Ok(Ok(reply)) => {
                let Some(answer) = self.link.seal.open_answer(number, &reply.payload) else {
                    self.link.refuse(subject, "answer not sealed with the fleet's key");
                    return Ok(RequestOutcome::NoAnswer);
                };
                let answer = Ack::decode(&answer);
                if answer.is_none() {
                    self.link.ignore(subject, "not an answer");
                }
                Ok(answer.map_or(RequestOutcome::NoAnswer, RequestOutcome::Answered))
            }
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => Ok(RequestOutcome::NoReceiver),
                RequestErrorKind::TimedOut => Ok(RequestOutcome::NoAnswer),
                kind => Err(Error::Backend {
                    backend: "nats",
                    context: "send a message".to_owned(),
                    retryable: matches!(kind, RequestErrorKind::Other),
                    source: Box::new(error),
                }),
            },
            Err(_) => Ok(RequestOutcome::NoAnswer),
        }
    }

    /// Sends one piece until the receiver has queued or stored it.
    async fn deliver(&self, subject: &str, name: &str, piece: &Piece) -> Result<Ack, Error> {
        let closed = || Error::LaneClosed { node: name.to_owned() };
        let payload = piece.encode();
        let (mut silent, mut full) = (0, FULL.0);
        let mut absent_since: Option<Instant> = None;
        let mut disconnected_since: Option<Instant> = None;
        loop {
            if !self.link.is_connected() {
                // Waits through a short outage. A longer one is reported to the caller.
                let since = *disconnected_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.link.timeout() {
                    return Err(Link::disconnected_error("send a message"));
                }
                tokio::time::sleep(ABSENT).await;
                continue;
            }
            disconnected_since = None;
            match self.request(subject, &payload).await? {
                RequestOutcome::Answered(answer @ (Ack::Accepted | Ack::Partial)) => return Ok(answer),
                RequestOutcome::Answered(Ack::Refused) => {
                    return Err(Error::Backend {
                        backend: "nats",
                        context: format!("send a message to `{name}`"),
                        source: "the receiver could not decode it; hint: check that both run the same release".into(),
                        retryable: false,
                    });
                }
                RequestOutcome::Answered(Ack::Full) => {
                    (silent, absent_since) = (0, None);
                    tokio::time::sleep(full.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                    full = (full * 2).min(FULL.1);
                }
                RequestOutcome::NoReceiver => {
                    let since = *absent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.grace {
                        return Err(closed());
                    }
                    tokio::time::sleep(ABSENT.min(self.grace)).await;
                }
                RequestOutcome::NoAnswer => {
                    silent += 1;
                    if silent >= SILENT {
                        return Err(closed());
                    }
                }
            }
        }
    }

    async fn post(&self, subject: &str, name: &str, message: &impl Message) -> Result<(), Error> {
        let whole = message.encode()?;
        let id = (self.link.origin, self.seq.fetch_add(1, Ordering::Relaxed));
        let most = self.link.client().max_payload().saturating_sub(RESERVE).max(1024);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (total, pieces) = (number(whole.len()), number(whole.len().div_ceil(most).max(1)));
        if pieces > wire::MOST_PIECES {
            return Err(Error::Backend {
                backend: "nats",
                context: "send a message".to_owned(),
                source: format!("{total} bytes do not fit into {} pieces of {most}", wire::MOST_PIECES).into(),
                retryable: false,
            });
        }
        // A receiver that was replaced in between has none of the earlier pieces, so all are sent a second time.
        for _ in 0..2 {
            let mut rest = whole.clone();
            let mut answer = Ack::Partial;
            for index in 0..pieces {
                let body = rest.split_to(most.min(rest.len()));
                answer = self.deliver(subject, name, &Piece { id, index, pieces, total, body }).await?;
                if answer == Ack::Accepted {
                    return Ok(());
                }
            }
            if answer != Ack::Partial {
                break;
            }
        }
        Err(Error::LaneClosed { node: name.to_owned() })
    }
}

#[async_trait]
impl Lanes for FleetLanes {
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error> {
        self.post(&self.lane(node).messages, node.as_str(), &message).await
    }

    async fn report(&self, message: FromNode) -> Result<(), Error> {
        self.post(&self.inbox().messages, SCHEDULER, &message).await
    }

    async fn open(&self, node: &NodeId) -> Result<Box<dyn NodeInbox>, Error> {
        Ok(Box::new(receiver::open::<ToNode>(&self.link, self.lane(node), &self.tasks).await?))
    }

    async fn open_inbox(&self) -> Result<Box<dyn SchedulerInbox>, Error> {
        Ok(Box::new(receiver::open::<FromNode>(&self.link, self.inbox(), &self.tasks).await?))
    }
}
