//! Authentication of the fleet's messages: a keyed hash over subject, sender, number and payload. The first process
//! creates the key in the object store. A process that can write there is fully trusted; one that only reaches NATS is
//! not.
//!
//! Each number is used once, and clocks are not trusted. A receiver accepts messages of a sender only after the sender
//! has answered a challenge with a random number of the receiver ([`crate::handshake`]), and then only those above the floor
//! in that answer. Recorded messages of earlier processes are therefore refused (tested in `tests/fleet/hostile.rs`).

use crate::{
    Error,
    objects::{Objects, WriteOutcome},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const MAGIC: &[u8; 3] = b"FM\x01";
/// Size of a keyed hash in bytes.
const MAC: usize = 32;
/// Size of the header in bytes.
pub(crate) const HEADER: usize = 3 + 8 + 8 + MAC;
/// The first bytes of a stored key.
const KEY_MAGIC: &[u8; 8] = b"FABKEY\x00\x01";
/// Messages sent at most this long before a handshake may be accepted after it, including the one that triggered it.
const RECENT: Duration = Duration::from_secs(5);
/// Accepted numbers remembered per sender, which bounds the reordering of messages.
const LATE: usize = 32;

/// Reads the fleet's key from the store, or creates it.
///
/// # Errors
/// The store's errors, or [`Error::Damaged`].
pub(crate) async fn key(objects: &Objects) -> Result<[u8; 32], Error> {
    let path = objects.root().clone().join("key");
    let damaged = || Error::Damaged(format!("the fleet's key at `{path}` is invalid; remove it while no process runs"));
    let read = |bytes: &[u8]| bytes.strip_prefix(KEY_MAGIC).and_then(|key| <[u8; 32]>::try_from(key).ok());
    let limit = (KEY_MAGIC.len() + 32) as u64;
    let secret = match objects.get(&path, limit).await? {
        Some(found) => read(&found.bytes).ok_or_else(damaged)?,
        None => {
            let fresh: [u8; 32] = rand::random();
            match objects.create(&path, [&KEY_MAGIC[..], &fresh[..]].concat().into()).await? {
                WriteOutcome::Written(_) => fresh,
                WriteOutcome::Conflict(found) => read(&found.bytes).ok_or_else(damaged)?,
                WriteOutcome::Missing => return Err(damaged()),
            }
        }
    };
    Ok(blake3::derive_key("fabric fleet messages 1", &secret))
}

/// A verified message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The process that sent it.
    pub(crate) sender: u64,
    /// The sender's number of the message.
    pub(crate) number: u64,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
struct Sent {
    next: u64,
    last: Instant,
    /// Earlier values of `next` with their times. The first is at least [`RECENT`] older than the second, or equal at
    /// the start.
    marks: [(Instant, u64); 2],
}

/// Seals and verifies messages for one process.
pub(crate) struct Seal {
    key: [u8; 32],
    me: u64,
    sent: Mutex<Sent>,
}

impl Seal {
    pub(crate) fn new(key: [u8; 32], me: u64) -> Self {
        let now = Instant::now();
        let sent = Sent { next: 1, last: now, marks: [(now, 1); 2] };
        Self { key, me, sent: Mutex::new(sent) }
    }

    fn mac(&self, subject: &str, sender: u64, number: u64, payload: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(subject.len() as u64).to_be_bytes());
        hasher.update(subject.as_bytes());
        hasher.update(&sender.to_be_bytes());
        hasher.update(&number.to_be_bytes());
        hasher.update(payload);
        hasher.finalize()
    }

    /// Seals a message for this subject. Returns its number and the sealed bytes.
    pub(crate) fn seal(&self, subject: &str, payload: &[u8]) -> (u64, Bytes) {
        let number = self.number(Instant::now());
        let mac = self.mac(subject, self.me, number, payload);
        let mut out = BytesMut::with_capacity(HEADER + payload.len());
        out.put_slice(MAGIC);
        out.put_u64(self.me);
        out.put_u64(number);
        out.put_slice(mac.as_bytes());
        out.put_slice(payload);
        (number, out.freeze())
    }

    fn number(&self, now: Instant) -> u64 {
        let mut sent = self.sent.lock();
        let number = sent.next;
        if now.duration_since(sent.marks[1].0) >= RECENT {
            sent.marks = [sent.marks[1], (now, number)];
        }
        sent.next += 1;
        sent.last = now;
        number
    }

    /// Returns the highest number that was not used recently. New receivers accept only higher ones.
    pub(crate) fn floor(&self) -> u64 {
        self.floor_at(Instant::now())
    }

    fn floor_at(&self, now: Instant) -> u64 {
        let sent = self.sent.lock();
        let next = match sent.marks {
            _ if now.duration_since(sent.last) >= RECENT => sent.next,
            [_, (at, next)] if now.duration_since(at) >= RECENT => next,
            [(_, next), _] => next,
        };
        next - 1
    }

    /// Returns the highest number that was used.
    pub(crate) fn last(&self) -> u64 {
        self.sent.lock().next - 1
    }

    /// Verifies a message received on this subject. Returns `None` if no process of the fleet sealed it for the
    /// subject. It may be a replay.
    pub(crate) fn open(&self, subject: &str, message: &Bytes) -> Option<Opened> {
        let mut rest = message.clone();
        if rest.len() < HEADER || !rest.starts_with(MAGIC) {
            return None;
        }
        rest.advance(MAGIC.len());
        let (sender, number) = (rest.get_u64(), rest.get_u64());
        let mac: [u8; MAC] = rest.split_to(MAC).as_ref().try_into().ok()?;
        // The comparison takes constant time.
        let right = self.mac(subject, sender, number, &rest) == blake3::Hash::from_bytes(mac);
        right.then_some(Opened { sender, number, payload: rest })
    }

    fn answer_mac(&self, to: (u64, u64), answer: &[u8]) -> blake3::Hash {
        // A subject never contains a space, so this cannot equal one.
        self.mac("the answer to", to.0, to.1, answer)
    }

    /// Seals an answer to the message with this sender and number.
    pub(crate) fn seal_answer(&self, to: (u64, u64), answer: &[u8]) -> Bytes {
        let mac = self.answer_mac(to, answer);
        [&mac.as_bytes()[..], answer].concat().into()
    }

    /// Verifies the answer to this process's message with this number.
    pub(crate) fn open_answer(&self, number: u64, answer: &Bytes) -> Option<Bytes> {
        let mac: [u8; MAC] = *answer.first_chunk()?;
        let rest = answer.slice(MAC..);
        (self.answer_mac((self.me, number), &rest) == blake3::Hash::from_bytes(mac)).then_some(rest)
    }
}

/// Tracks the accepted numbers of one sender. Each number is accepted once, and numbers far below the accepted ones are
/// refused.
#[derive(Debug)]
pub(crate) struct Window {
    floor: u64,
    taken: BTreeSet<u64>,
}

impl Window {
    pub(crate) fn new(floor: u64) -> Self {
        Self { floor, taken: BTreeSet::new() }
    }

    /// Records a number. Returns `true` if it is accepted.
    pub(crate) fn take(&mut self, number: u64) -> bool {
        if number <= self.floor || !self.taken.insert(number) {
            return false;
        }
        if self.taken.len() > LATE
            && let Some(oldest) = self.taken.pop_first()
        {
            self.floor = oldest;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Seal, Seal) {
        (Seal::new([7; 32], 1), Seal::new([7; 32], 2))
    }

    #[test]
    fn what_was_sealed_opens_on_its_subject_and_nothing_else_does() {
        let (one, other) = two();
        let (number, message) = one.seal("f.inbox", b"hello");
        let opened = Opened { sender: 1, number, payload: Bytes::from_static(b"hello") };
        assert_eq!(other.open("f.inbox", &message), Some(opened));
        assert_eq!(other.open("f.presence", &message), None);
        assert_eq!(Seal::new([8; 32], 2).open("f.inbox", &message), None);
        for at in 0..message.len() {
            let mut changed = message.to_vec();
            changed[at] ^= 1;
            assert_eq!(other.open("f.inbox", &changed.into()), None, "byte {at}");
            assert_eq!(other.open("f.inbox", &message.slice(..at)), None);
        }
        let answer = other.seal_answer((1, number), b"T");
        assert_eq!(one.open_answer(number, &answer).unwrap(), "T");
        assert_eq!(one.open_answer(number + 1, &answer), None);
        assert_eq!(other.open_answer(number, &answer), None, "to another");
        assert_eq!(one.open_answer(number, &Bytes::from_static(b"T")), None);
    }

    #[test]
    fn a_number_is_taken_once_and_a_little_late_at_most() {
        let mut window = Window::new(10);
        assert!(!window.take(10) && window.take(12) && window.take(11) && !window.take(12));
        for number in (100..300).step_by(2) {
            assert!(window.take(number));
        }
        assert!(window.take(297) && !window.take(297) && !window.take(101) && !window.take(11));
    }

    #[test]
    fn the_floor_follows_what_was_sent_by_some_seconds() {
        let seal = two().0;
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(seal.floor_at(at(0)), 0);
        for second in 0..60 {
            let number = seal.number(at(second * 1000));
            let floor = seal.floor_at(at(second * 1000));
            assert!(floor < number && number - floor <= 11, "number {number}, floor {floor}");
            assert!(number < 6 || number - floor >= 5, "number {number}, floor {floor}");
        }
        assert_eq!(seal.floor_at(at(70_000)), 60, "nothing was sent lately");
    }

    /// A measurement of the cost of sealing and verifying, not a check.
    /// `cargo test -p fabric-fleet --release cost -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stderr)]
    fn cost_of_sealing() {
        let (one, other) = two();
        for size in [64, 1 << 10, 16 << 10, 256 << 10] {
            let payload = vec![1; size];
            let rounds = 200_000_000 / (size + 20_000);
            let begun = Instant::now();
            for _ in 0..rounds {
                let (_, message) = one.seal("fabric.inbox", &payload);
                assert!(other.open("fabric.inbox", &message).is_some());
            }
            eprintln!("{size} bytes: {:?} to seal and open", begun.elapsed() / u32::try_from(rounds).unwrap());
        }
    }
}
