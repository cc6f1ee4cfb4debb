//! Ownership of invocations, encoded in their ids: the last 35 bits of the id of a token's call are a hash of the token
//! and the rest of the id. Ownership therefore needs no record, covers synchronous calls too, and survives restarts.
//!
//! The mark is not a signature: a party that chooses ids could forge one. Only the server generates ids, and a caller
//! that presents another caller's id finds its own mark on it with a probability of 2^-35.

use fabric_types::id::{InvocationId, ulid_text};

/// Characters of the mark. A ULID has 26 characters of 5 bits each.
const CHARS: usize = 7;
const BITS: u32 = 5 * CHARS as u32;

/// Returns the mark of a token on an id with this beginning.
fn of(token: &str, beginning: &str) -> u128 {
    let mut hash = blake3::Hasher::new_derive_key("fabric invocation mark 1");
    hash.update(token.as_bytes()).update(&[0]).update(beginning.as_bytes());
    let mut bytes = [0; 16];
    hash.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes) & ((1 << BITS) - 1)
}

/// Returns an id with the token's mark: the time, 45 bits of `draw`, the mark.
#[must_use]
pub(super) fn sign(token: &str, now_ms: u64, draw: u64) -> InvocationId {
    let free = u128::from(draw >> 19) << BITS;
    let blank = ulid_text(now_ms, free);
    let beginning = blank.get(..blank.len() - CHARS).unwrap_or_default();
    InvocationId::from_parts(now_ms, free | of(token, beginning))
}

/// Returns `true` if the id carries the token's mark.
#[must_use]
pub(super) fn is_of(token: &str, id: &InvocationId) -> bool {
    let id = id.as_str();
    let Some((beginning, mark)) = id.split_at_checked(id.len() - CHARS) else { return false };
    ulid_text(0, of(token, beginning)).ends_with(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_its_makers_and_nobody_elses(mine in "[0-9a-f]{16}", other in "[0-9a-f]{16}", ms in 0u64..1 << 48, draw: u64) {
            prop_assume!(mine != other);
            let id = sign(&mine, ms, draw);
            prop_assert!(InvocationId::new(id.as_str()).is_ok());
            prop_assert!(is_of(&mine, &id));
            prop_assert!(!is_of(&other, &id));
            prop_assert_eq!(&id.as_str()[..10], &ulid_text(ms, 0)[..10]);
        }

        #[test]
        fn another_draw_is_another_id(draw: u64) {
            prop_assert_ne!(sign("a", 1, draw), sign("a", 1, draw ^ (1 << 20)));
        }
    }
}
