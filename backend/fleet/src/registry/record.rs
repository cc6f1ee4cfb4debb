//! The object format of a registry key: a header of 20 bytes, then the value. The header of a removed key stays, with
//! its revision: a removal has to be conditional, which S3 supports only for writes, and the revisions of a key that is
//! created again have to grow.

use crate::{Error, objects::Found};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const MAGIC: &[u8; 3] = b"FR\x01";
const HEADER: usize = 20;
const REMOVED: u8 = 0;
const LIVE: u8 = 1;

/// Size of a removed key's object. An object with a value is larger, since a separator byte follows its header.
pub(super) const REMOVED_BYTES: u64 = HEADER as u64;

/// Maximum size of a value in bytes.
pub(super) const LONGEST_VALUE: usize = 16 << 20;

/// Maximum size of an object in bytes.
pub(super) const LONGEST: u64 = (LONGEST_VALUE + HEADER + 1) as u64;

/// The state of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) etag: String,
    pub(super) revision: u64,
    /// The value; `None` if the key was removed.
    pub(super) value: Option<Bytes>,
}

/// Encodes a value or a removal, with a random number that is unique to this write.
pub(super) fn encode(revision: u64, value: Option<&Bytes>) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER + 1 + value.map_or(0, Bytes::len));
    out.put_slice(MAGIC);
    out.put_u8(if value.is_some() { LIVE } else { REMOVED });
    out.put_u64(revision);
    out.put_u64(rand::random());
    if let Some(value) = value {
        out.put_u8(b'\n');
        out.put_slice(value);
    }
    out.freeze()
}

pub(super) fn decode(key: &str, found: Found) -> Result<State, Error> {
    let damaged = || Error::Damaged(format!("registry key `{key}` cannot be decoded"));
    let mut bytes = found.bytes;
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return Err(damaged());
    }
    bytes.advance(MAGIC.len());
    let kind = bytes.get_u8();
    let revision = bytes.get_u64();
    bytes.advance(8);
    let value = match (kind, bytes.has_remaining()) {
        (REMOVED, false) => None,
        (LIVE, true) => {
            bytes.advance(1);
            Some(bytes)
        }
        _ => return Err(damaged()),
    };
    Ok(State { etag: found.etag, revision, value })
}

/// Returns the revision after `last`. At least the wall clock in milliseconds, so that revisions of a key grow even if
/// removed keys are purged from the store one day.
pub(super) fn next_revision(last: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis());
    last.saturating_add(1).max(u64::try_from(now).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_removals_come_back_and_nothing_else_does() {
        let found = |bytes: Bytes| Found { bytes, etag: "e".to_owned(), written_ms: 0 };
        for value in [None, Some(Bytes::new()), Some(Bytes::from_static(b"value"))] {
            let bytes = encode(7, value.as_ref());
            assert_eq!(bytes.len() as u64 == REMOVED_BYTES, value.is_none());
            assert_eq!(decode("k", found(bytes)).unwrap(), State { etag: "e".to_owned(), revision: 7, value });
        }
        assert_ne!(encode(7, None), encode(7, None), "each write is its own");
        for bad in [&b""[..], b"FR\x01", &[0; 40], b"FR\x02\x0100000000000000000", b"FR\x01\x000000000000000000x"] {
            assert!(decode("k", found(Bytes::copy_from_slice(bad))).is_err());
        }
        assert_eq!(next_revision(u64::MAX - 1), u64::MAX);
    }
}
