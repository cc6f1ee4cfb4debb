//! Handshakes between processes. On the first message of an unknown sender, a subscription sends that process a
//! challenge with a random number, and accepts its messages after it has answered with that number. Only a live process
//! can answer, so replayed messages of an ended process are not accepted. Messages that arrive before the answer wait,
//! bounded in number, bytes and time.

use crate::{
    Error,
    link::{Counters, Link},
    seal::{Opened, Window},
    tasks::Tasks,
};
use async_nats::{Subject, Subscriber};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Maximum number of unanswered challenges over all subscriptions. Above it no challenge is sent until older ones
/// expire.
const MAX_CHALLENGES: usize = 65_536;
/// Maximum time to wait for an answer, and maximum age of messages that wait for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum time between two challenges to the same process.
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of senders that a subscription remembers. Above it all are forgotten and challenged again.
const MAX_SENDERS: usize = 65_536;
/// Maximum number and total bytes of messages per subscription that wait for a handshake. The number also bounds the
/// completed handshakes that a subscription has not read: no more senders have a waiting message.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Capacity of the queue of outgoing challenges and answers.
const OUTGOING: usize = 8192;

const CHALLENGE: u8 = b'H';
const ANSWER: u8 = b'W';

/// A completed handshake: the sender, and the number above which its messages are accepted.
type Handshake = (u64, u64);

struct Challenge {
    of: u64,
    since: Instant,
    report: mpsc::Sender<Handshake>,
}

/// The open challenges of this process.
pub(crate) struct Handshakes {
    open: Mutex<HashMap<u64, Challenge>>,
    out: mpsc::Sender<(u64, Bytes)>,
}

fn subject(link: &Link, process: u64) -> String {
    link.subject(&format!("handshake.{process:016x}"))
}

fn encode(kind: u8, numbers: &[u64]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + 8 * numbers.len());
    out.put_u8(kind);
    numbers.iter().for_each(|number| out.put_u64(*number));
    out.freeze()
}

fn decode<const N: usize>(payload: &[u8], kind: u8) -> Option<[u64; N]> {
    let rest = payload.strip_prefix(&[kind])?;
    let (numbers, rest) = rest.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_be_bytes(*number)).collect();
    rest.is_empty().then(|| numbers.try_into().ok())?
}

impl Handshakes {
    pub(crate) fn new() -> (Self, mpsc::Receiver<(u64, Bytes)>) {
        let (out, sending) = mpsc::channel(OUTGOING);
        (Self { open: Mutex::default(), out }, sending)
    }

    fn challenge(&self, of: u64, report: &mpsc::Sender<Handshake>) {
        let mut open = self.open.lock();
        if open.len() >= MAX_CHALLENGES {
            open.retain(|_, challenge| challenge.since.elapsed() < ANSWER_TIMEOUT);
            if open.len() >= MAX_CHALLENGES {
                return;
            }
        }
        let nonce: u64 = rand::random();
        // If the queue is full, the next message triggers another challenge.
        if self.out.try_send((of, encode(CHALLENGE, &[nonce]))).is_ok() {
            open.insert(nonce, Challenge { of, since: Instant::now(), report: report.clone() });
        }
    }

    /// Handles an answer. Returns `false` if no open challenge expects it.
    fn answered(&self, sender: u64, nonce: u64, floor: u64) -> bool {
        let challenge = self.open.lock().remove(&nonce);
        let expected = |challenge: &Challenge| challenge.of == sender && challenge.since.elapsed() < ANSWER_TIMEOUT;
        let Some(challenge) = challenge.filter(expected) else { return false };
        match challenge.report.try_send((sender, floor)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                tracing::debug!("handshake dropped, the subscription is behind; its next message starts another");
                true
            }
            // The subscription ended in the meantime.
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// Returns a task that sends challenges, and receives challenges and answers.
pub(crate) async fn listen(
    link: &Link,
    mut sending: mpsc::Receiver<(u64, Bytes)>,
    tasks: &Tasks,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let mut subscription = link.subscribe_raw("listen to other processes", subject(link, link.origin)).await?;
    let (link, stop) = (link.clone(), tasks.stop());
    Ok(async move {
        loop {
            let (to, payload) = tokio::select! {
                () = stop.cancelled() => return,
                Some(out) = sending.recv() => out,
                message = subscription.next() => {
                    let Some(message) = message else { return };
                    let Some(Opened { sender, payload, .. }) = link.seal.open(&message.subject, &message.payload) else {
                        link.refuse(&message.subject, "not sealed with the fleet's key");
                        continue;
                    };
                    if let Some([nonce]) = decode(&payload, CHALLENGE) {
                        (sender, encode(ANSWER, &[nonce, link.seal.floor()]))
                    } else {
                        let right = decode(&payload, ANSWER)
                            .is_some_and(|[nonce, floor]| link.handshakes.answered(sender, nonce, floor));
                        if !right {
                            link.ignore(&message.subject, "unexpected handshake answer");
                        }
                        continue;
                    }
                }
            };
            if let Err(error) = link.publish("send a handshake message", subject(&link, to), payload).await {
                tracing::debug!(%error, "failed to send a handshake message");
            }
        }
    })
}

/// A verified message.
#[derive(Debug)]
pub(crate) struct Message {
    /// The sender and the sender's number of the message.
    pub(crate) from: (u64, u64),
    pub(crate) payload: Bytes,
    pub(crate) reply: Option<Subject>,
}

struct Waiting {
    since: Instant,
    message: Message,
}

/// A subscription that yields each message of this fleet's processes once.
pub(crate) struct VerifiedSubscription {
    link: Link,
    subscriber: Subscriber,
    windows: HashMap<u64, Window>,
    challenged: HashMap<u64, Instant>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    ready: VecDeque<Message>,
    /// Passed along with each challenge, to report its completion.
    report: mpsc::Sender<Handshake>,
    completed: mpsc::Receiver<Handshake>,
}

impl VerifiedSubscription {
    pub(crate) fn new(link: &Link, subscriber: Subscriber) -> Self {
        let (report, completed) = mpsc::channel(MAX_WAITING);
        // Messages of this process need no handshake.
        let own = (link.origin, Window::new(link.seal.last()));
        Self {
            link: link.clone(),
            subscriber,
            windows: HashMap::from([own]),
            challenged: HashMap::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            ready: VecDeque::new(),
            report,
            completed,
        }
    }

    /// Returns the next message, or `None` after the connection was closed. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            tokio::select! {
                biased;
                Some((sender, floor)) = self.completed.recv() => self.complete(sender, floor),
                message = self.subscriber.next() => self.take(message?),
            }
        }
    }

    fn take(&mut self, message: async_nats::Message) {
        let Some(Opened { sender, number, payload }) = self.link.seal.open(&message.subject, &message.payload) else {
            return self.link.refuse(&message.subject, "not sealed with the fleet's key");
        };
        let message = Message { from: (sender, number), payload, reply: message.reply };
        match self.windows.get_mut(&sender).map(|window| window.take(number)) {
            Some(true) => self.ready.push_back(message),
            Some(false) => self.link.refuse("", "old or repeated message number"),
            None => self.wait(message),
        }
    }

    /// Stores a message until its sender has answered.
    fn wait(&mut self, message: Message) {
        let sender = message.from.0;
        while let Some(first) = self.waiting.front() {
            let full = self.waiting.len() >= MAX_WAITING || self.bytes + message.payload.len() > MAX_WAITING_BYTES;
            if !full && first.since.elapsed() < ANSWER_TIMEOUT {
                break;
            }
            if let Some(old) = self.waiting.pop_front() {
                self.bytes -= old.message.payload.len();
                self.link.refuse("", "the sender did not answer the handshake");
            }
        }
        self.bytes += message.payload.len();
        self.waiting.push_back(Waiting { since: Instant::now(), message });
        if self.challenged.len() >= MAX_SENDERS {
            self.challenged.retain(|_, at| at.elapsed() < CHALLENGE_INTERVAL);
        }
        let due = self.challenged.get(&sender).is_none_or(|at| at.elapsed() >= CHALLENGE_INTERVAL);
        if due && self.challenged.len() < MAX_SENDERS {
            self.challenged.insert(sender, Instant::now());
            self.link.handshakes.challenge(sender, &self.report);
        }
    }

    fn complete(&mut self, sender: u64, floor: u64) {
        self.challenged.remove(&sender);
        if self.windows.len() >= MAX_SENDERS {
            self.windows.retain(|known, _| *known == self.link.origin);
        }
        // If a sender was challenged and answered twice, the first answer counts.
        let window = self.windows.entry(sender).or_insert_with(|| Window::new(floor));
        let mut others = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            if waiting.message.from.0 != sender {
                others.push_back(waiting);
                continue;
            }
            self.bytes -= waiting.message.payload.len();
            if window.take(waiting.message.from.1) {
                self.ready.push_back(waiting.message);
            } else {
                Counters::count(&self.link.counters.refused);
            }
        }
        self.waiting = others;
    }
}

impl Link {
    /// Subscribes to messages of this fleet's processes. Returns after the server has registered the subscription.
    pub(crate) async fn subscribe(
        &self,
        context: &'static str,
        subject: String,
    ) -> Result<VerifiedSubscription, Error> {
        Ok(VerifiedSubscription::new(self, self.subscribe_raw(context, subject).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of the challenge that was sent to this process.
    fn sent(sending: &mut mpsc::Receiver<(u64, Bytes)>, to: u64) -> u64 {
        let (process, payload) = sending.try_recv().unwrap();
        assert_eq!(process, to);
        let [nonce] = decode(&payload, CHALLENGE).unwrap();
        nonce
    }

    #[test]
    fn only_the_challenged_process_completes_a_challenge_and_only_once() {
        let (handshakes, mut sending) = Handshakes::new();
        let (report, mut completed) = mpsc::channel(4);
        handshakes.challenge(7, &report);
        let nonce = sent(&mut sending, 7);
        assert!(!handshakes.answered(7, nonce.wrapping_add(1), 1), "another number");
        assert!(handshakes.answered(7, nonce, 9));
        assert_eq!(completed.try_recv().unwrap(), (7, 9));
        assert!(!handshakes.answered(7, nonce, 9), "a repeated answer");
        handshakes.challenge(7, &report);
        let nonce = sent(&mut sending, 7);
        assert!(!handshakes.answered(8, nonce, 9), "another process");
        drop(completed);
        handshakes.challenge(7, &report);
        let nonce = sent(&mut sending, 7);
        assert!(!handshakes.answered(7, nonce, 9), "the subscription ended");
    }

    #[test]
    fn a_subscription_that_is_behind_drops_handshakes_and_completes_later_ones() {
        let (handshakes, mut sending) = Handshakes::new();
        let (report, mut completed) = mpsc::channel(2);
        for process in 0..10 {
            handshakes.challenge(process, &report);
            let nonce = sent(&mut sending, process);
            assert!(handshakes.answered(process, nonce, 1));
        }
        assert_eq!((completed.try_recv().unwrap(), completed.try_recv().unwrap()), ((0, 1), (1, 1)));
        assert!(completed.try_recv().is_err());
        handshakes.challenge(9, &report);
        let nonce = sent(&mut sending, 9);
        assert!(handshakes.answered(9, nonce, 5));
        assert_eq!(completed.try_recv().unwrap(), (9, 5));
    }
}
