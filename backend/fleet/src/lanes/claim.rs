//! Claims to a lane. If several processes claim the same lane, the one that opened it last holds it. A new end
//! publishes its claim once when it opens. Every end repeats its claim periodically and after a reconnect, so that two
//! ends that could not reach each other detect the conflict.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const MAGIC: &[u8; 3] = b"FC\x01";

/// Age below which an end yields to a new claim only if that was opened later by its own clock, since both may have
/// opened at once.
const YOUNG: Duration = Duration::from_secs(5);

/// A claim to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// Random number of this end.
    pub(super) end: u64,
    /// Time of opening, by the opener's wall clock in microseconds. Grows within a process.
    pub(super) opened: u64,
    /// `true` in the first claim after opening.
    pub(super) fresh: bool,
}

/// The reaction to another end's claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The claim is our own.
    Nothing,
    /// The other end is newer: close.
    Yield,
    /// This end is newer: repeat the claim.
    Reclaim,
}

static LAST: AtomicU64 = AtomicU64::new(0);

impl Claim {
    pub(super) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let now = u64::try_from(now).unwrap_or(0);
        // The update cannot fail: the closure always returns a value.
        let last =
            LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1))).unwrap_or(now);
        Self { end: rand::random(), opened: now.max(last + 1), fresh: true }
    }

    pub(super) fn again(self) -> Self {
        Self { fresh: false, ..self }
    }

    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(20);
        out.put_slice(MAGIC);
        out.put_u8(u8::from(self.fresh));
        out.put_u64(self.end);
        out.put_u64(self.opened);
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() != 20 || !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let fresh = match bytes.get_u8() {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { end: bytes.get_u64(), opened: bytes.get_u64(), fresh })
    }

    /// Returns the reaction of the holder of `self`, open for `age`, to the claim `other`.
    pub(super) fn judge(self, age: Duration, other: Self) -> Verdict {
        if other.end == self.end {
            return Verdict::Nothing;
        }
        let newer = (other.opened, other.end) > (self.opened, self.end);
        if newer || (other.fresh && age > YOUNG) { Verdict::Yield } else { Verdict::Reclaim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_end_stays() {
        let (old, new) = (Claim::new(), Claim::new());
        assert!(new.opened > old.opened, "even within one tick of the clock");
        assert_eq!(Claim::decode(new.encode()).unwrap(), new);
        assert_eq!(old.judge(Duration::ZERO, old.again()), Verdict::Nothing);
        assert_eq!(old.judge(Duration::ZERO, new), Verdict::Yield);
        // Both opened at once, or long apart without receiving each other's claim: one insists, and the other yields.
        assert_eq!(new.judge(Duration::ZERO, old), Verdict::Reclaim);
        assert_eq!(new.judge(YOUNG * 2, old.again()), Verdict::Reclaim);
        assert_eq!(old.judge(YOUNG * 2, new.again()), Verdict::Yield);
        // A new claim wins even if its clock is behind.
        assert_eq!(new.judge(YOUNG * 2, old), Verdict::Yield);
        for bad in [&b""[..], &[0; 20], b"FC\x01\x02aaaaaaaabbbbbbbb", b"FC\x01\x01short"] {
            assert_eq!(Claim::decode(Bytes::copy_from_slice(bad)), None);
        }
    }
}
