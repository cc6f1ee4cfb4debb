//! Reassembles messages from pieces. The number of incomplete messages, their bytes and their age are bounded.

use super::wire::{MessageId, Piece};
use bytes::{Bytes, BytesMut};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Maximum number of incomplete messages.
const MESSAGES: usize = 64;
/// Maximum total size of incomplete messages in bytes.
const BYTES: usize = 256 << 20;
/// Time until an incomplete message is dropped, counted from its last piece.
const KEPT: Duration = Duration::from_secs(60);

struct Incomplete {
    pieces: HashMap<u32, Bytes>,
    count: u32,
    total: u32,
    bytes: usize,
    touched: Instant,
}

/// The outcome of adding a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// The message is complete.
    Whole(Bytes),
    /// The piece is stored; others are missing.
    Partial,
    /// There is no room now.
    Full,
    /// The piece contradicts earlier ones.
    Refused,
}

#[derive(Default)]
pub(super) struct Pieces {
    messages: HashMap<MessageId, Incomplete>,
    bytes: usize,
}

impl Pieces {
    /// Adds a piece. A complete message stays until [`Self::forget`], so that it can be returned again.
    pub(super) fn add(&mut self, piece: Piece) -> Added {
        if piece.pieces == 1 {
            return Added::Whole(piece.body);
        }
        if !self.messages.contains_key(&piece.id) {
            self.expire();
            if self.messages.len() >= MESSAGES {
                return Added::Full;
            }
        }
        let incomplete = self.messages.entry(piece.id).or_insert_with(|| Incomplete {
            pieces: HashMap::new(),
            count: piece.pieces,
            total: piece.total,
            bytes: 0,
            touched: Instant::now(),
        });
        incomplete.touched = Instant::now();
        if incomplete.count != piece.pieces || incomplete.total != piece.total {
            return Added::Refused;
        }
        if !incomplete.pieces.contains_key(&piece.index) {
            let len = piece.body.len();
            if incomplete.bytes + len > usize::try_from(incomplete.total).unwrap_or(0) {
                return Added::Refused;
            }
            if self.bytes + len > BYTES {
                return Added::Full;
            }
            self.bytes += len;
            incomplete.bytes += len;
            incomplete.pieces.insert(piece.index, piece.body);
        }
        if incomplete.pieces.len() < usize::try_from(incomplete.count).unwrap_or(usize::MAX) {
            return Added::Partial;
        }
        let mut whole = BytesMut::with_capacity(incomplete.bytes);
        for index in 0..incomplete.count {
            let Some(body) = incomplete.pieces.get(&index) else { return Added::Refused };
            whole.extend_from_slice(body);
        }
        let complete = whole.len() == usize::try_from(incomplete.total).unwrap_or(usize::MAX);
        if complete { Added::Whole(whole.freeze()) } else { Added::Refused }
    }

    pub(super) fn forget(&mut self, id: MessageId) {
        if let Some(gone) = self.messages.remove(&id) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }

    fn expire(&mut self) {
        let old: Vec<MessageId> =
            self.messages.iter().filter(|(_, m)| m.touched.elapsed() > KEPT).map(|(id, _)| *id).collect();
        old.into_iter().for_each(|id| self.forget(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(n: u64, index: u32, pieces: u32, total: u32, body: &'static str) -> Piece {
        Piece { id: (1, n), index, pieces, total, body: Bytes::from_static(body.as_bytes()) }
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_come_in_any_order_and_twice() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(piece(1, 2, 3, 6, "ef")), Added::Partial);
        assert_eq!(pieces.add(piece(1, 2, 3, 6, "ef")), Added::Partial);
        assert_eq!(pieces.add(piece(2, 0, 2, 4, "xy")), Added::Partial);
        assert_eq!(pieces.add(piece(1, 0, 3, 6, "ab")), Added::Partial);
        assert_eq!(pieces.add(piece(1, 1, 3, 6, "cd")), Added::Whole("abcdef".into()));
        assert_eq!(pieces.add(piece(1, 1, 3, 6, "cd")), Added::Whole("abcdef".into()), "until it is forgotten");
        pieces.forget((1, 1));
        assert_eq!(pieces.bytes, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_contradicts_itself_is_refused_and_what_is_too_much_waits() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(piece(1, 0, 2, 3, "ab")), Added::Partial);
        assert_eq!(pieces.add(piece(1, 1, 2, 4, "cd")), Added::Refused);
        assert_eq!(pieces.add(piece(1, 1, 2, 3, "cd")), Added::Refused, "longer than it said");
        for n in 2..=MESSAGES as u64 {
            assert_eq!(pieces.add(piece(n, 0, 2, 4, "ab")), Added::Partial);
        }
        assert_eq!(pieces.add(piece(99, 0, 2, 4, "ab")), Added::Full);
        tokio::time::advance(KEPT * 2).await;
        assert_eq!(pieces.add(piece(99, 0, 2, 4, "ab")), Added::Partial, "what nobody completes is forgotten");
        assert_eq!((pieces.messages.len(), pieces.bytes), (1, 2));
    }
}
