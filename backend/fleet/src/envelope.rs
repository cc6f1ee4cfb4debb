//! The header of broadcast messages: kind, version, and the process that sent them.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Notice = b'N',
    Registry = b'R',
    Journal = b'J',
}

const VERSION: u8 = 1;

/// Encodes a message whose body is the concatenation of `parts`.
pub(crate) fn write(kind: Kind, origin: u64, parts: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::with_capacity(11 + parts.iter().map(|part| part.len()).sum::<usize>());
    out.put_slice(&[b'F', kind as u8, VERSION]);
    out.put_u64(origin);
    parts.iter().for_each(|part| out.put_slice(part));
    out.freeze()
}

/// Returns the sender and the body, or `None` if the payload is not a message of this kind and version.
pub(crate) fn read(kind: Kind, payload: &[u8]) -> Option<(u64, &[u8])> {
    let rest = payload.strip_prefix(&[b'F', kind as u8, VERSION])?;
    let (origin, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*origin), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_others_do_not() {
        let word = write(Kind::Notice, 7, &[b"a", b"b"]);
        assert_eq!(read(Kind::Notice, &word), Some((7, &b"ab"[..])));
        assert_eq!(read(Kind::Journal, &word), None);
        assert_eq!(read(Kind::Notice, &word.slice(..10)), None);
    }
}
