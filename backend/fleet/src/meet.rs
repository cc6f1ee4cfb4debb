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
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Maximum number of unanswered challenges over all subscriptions. Above it no challenge is sent until older ones
/// expire.
const ASKED: usize = 65_536;
/// Maximum time to wait for an answer, and maximum age of messages that wait for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Minimum time between two challenges to the same process.
const AGAIN: Duration = Duration::from_millis(200);
/// Maximum number of senders that a subscription remembers. Above it all are forgotten and challenged again.
const KNOWN: usize = 65_536;
/// Maximum number and total bytes of messages per subscription that wait for a handshake.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 64 << 20;
/// Capacity of the queue of outgoing challenges and answers.
const OUT: usize = 8192;

const HELLO: u8 = b'H';
const WELCOME: u8 = b'W';

/// A completed handshake: the sender, and the number above which its messages are accepted.
type Met = (u64, u64);

struct Question {
    of: u64,
    since: Instant,
    tell: mpsc::UnboundedSender<Met>,
}

/// The open challenges of this process.
pub(crate) struct Meetings {
    asked: Mutex<HashMap<u64, Question>>,
    out: mpsc::Sender<(u64, Bytes)>,
}

fn subject(link: &Link, process: u64) -> String {
    link.subject(&format!("meet.{process:016x}"))
}

fn word(kind: u8, numbers: &[u64]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + 8 * numbers.len());
    out.put_u8(kind);
    numbers.iter().for_each(|number| out.put_u64(*number));
    out.freeze()
}

fn numbers<const N: usize>(payload: &[u8], kind: u8) -> Option<[u64; N]> {
    let rest = payload.strip_prefix(&[kind])?;
    let (numbers, rest) = rest.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_be_bytes(*number)).collect();
    rest.is_empty().then(|| numbers.try_into().ok())?
}

impl Meetings {
    pub(crate) fn new() -> (Self, mpsc::Receiver<(u64, Bytes)>) {
        let (out, sending) = mpsc::channel(OUT);
        (Self { asked: Mutex::default(), out }, sending)
    }

    fn ask(&self, of: u64, tell: &mpsc::UnboundedSender<Met>) {
        let mut asked = self.asked.lock();
        if asked.len() >= ASKED {
            asked.retain(|_, question| question.since.elapsed() < PATIENCE);
            if asked.len() >= ASKED {
                return;
            }
        }
        let nonce: u64 = rand::random();
        // If the queue is full, the next message triggers another challenge.
        if self.out.try_send((of, word(HELLO, &[nonce]))).is_ok() {
            asked.insert(nonce, Question { of, since: Instant::now(), tell: tell.clone() });
        }
    }

    fn answered(&self, sender: u64, nonce: u64, floor: u64) -> bool {
        let question = self.asked.lock().remove(&nonce);
        // The subscription may have ended in the meantime.
        question.is_some_and(|q| q.of == sender && q.since.elapsed() < PATIENCE && q.tell.send((sender, floor)).is_ok())
    }
}

/// Returns a task that sends challenges, and receives challenges and answers.
pub(crate) async fn listen(
    link: &Link,
    mut sending: mpsc::Receiver<(u64, Bytes)>,
    tasks: &Tasks,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let mut heard = link.subscribe_raw("listen to other processes", subject(link, link.origin)).await?;
    let (link, stop) = (link.clone(), tasks.stop());
    Ok(async move {
        loop {
            let (to, payload) = tokio::select! {
                () = stop.cancelled() => return,
                Some(out) = sending.recv() => out,
                message = heard.next() => {
                    let Some(message) = message else { return };
                    let Some(Opened { sender, payload, .. }) = link.seal.open(&message.subject, &message.payload) else {
                        link.refuse(&message.subject, "not sealed with the fleet's key");
                        continue;
                    };
                    if let Some([nonce]) = numbers(&payload, HELLO) {
                        (sender, word(WELCOME, &[nonce, link.seal.floor()]))
                    } else {
                        let right = numbers(&payload, WELCOME)
                            .is_some_and(|[nonce, floor]| link.meetings.answered(sender, nonce, floor));
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
pub(crate) struct Heard {
    link: Link,
    subscriber: Subscriber,
    windows: HashMap<u64, Window>,
    asked: HashMap<u64, Instant>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    ready: VecDeque<Message>,
    tell: mpsc::UnboundedSender<Met>,
    met: mpsc::UnboundedReceiver<Met>,
}

impl Heard {
    pub(crate) fn new(link: &Link, subscriber: Subscriber) -> Self {
        let (tell, met) = mpsc::unbounded_channel();
        // Messages of this process need no handshake.
        let own = (link.origin, Window::new(link.seal.last()));
        Self {
            link: link.clone(),
            subscriber,
            windows: HashMap::from([own]),
            asked: HashMap::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            ready: VecDeque::new(),
            tell,
            met,
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
                Some((sender, floor)) = self.met.recv() => self.meet(sender, floor),
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
            let full = self.waiting.len() >= WAITING || self.bytes + message.payload.len() > WAITING_BYTES;
            if !full && first.since.elapsed() < PATIENCE {
                break;
            }
            if let Some(old) = self.waiting.pop_front() {
                self.bytes -= old.message.payload.len();
                self.link.refuse("", "the sender did not answer the handshake");
            }
        }
        self.bytes += message.payload.len();
        self.waiting.push_back(Waiting { since: Instant::now(), message });
        if self.asked.len() >= KNOWN {
            self.asked.retain(|_, at| at.elapsed() < AGAIN);
        }
        let due = self.asked.get(&sender).is_none_or(|at| at.elapsed() >= AGAIN);
        if due && self.asked.len() < KNOWN {
            self.asked.insert(sender, Instant::now());
            self.link.meetings.ask(sender, &self.tell);
        }
    }

    fn meet(&mut self, sender: u64, floor: u64) {
        self.asked.remove(&sender);
        if self.windows.len() >= KNOWN {
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
    pub(crate) async fn subscribe(&self, context: &'static str, subject: String) -> Result<Heard, Error> {
        Ok(Heard::new(self, self.subscribe_raw(context, subject).await?))
    }
}

/// Shared by all parts of a process.
pub(crate) type SharedMeetings = Arc<Meetings>;
