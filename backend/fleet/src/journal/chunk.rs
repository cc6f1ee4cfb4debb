//! The object format of one append: a header, then each record with its length. A chunk is written once and never
//! changed.

use crate::Error;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const MAGIC: &[u8; 4] = b"FJ\x01\n";

/// Size of the header in bytes.
pub(super) const HEADER: u64 = 32;

/// Maximum size of an append in bytes.
pub(super) const LONGEST: u64 = 512 << 20;

/// The header of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Random number that identifies the stream among those of the same name, drawn when the stream is created.
    pub(super) incarnation: u64,
    /// Random number of this append, by which a writer recognises its own chunk.
    pub(super) nonce: u64,
    /// Position of the first record.
    pub(super) first: u64,
    /// Number of records.
    pub(super) count: u32,
}

impl Header {
    /// Returns the position after the last record.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// Encodes an append. Returns `None` if it exceeds the number of records or bytes of a chunk.
pub(super) fn encode(incarnation: u64, nonce: u64, first: u64, records: &[Bytes]) -> Option<Bytes> {
    let count = u32::try_from(records.len()).ok()?;
    let size = records.iter().map(|record| 4 + record.len() as u64).sum::<u64>() + HEADER;
    if size > LONGEST {
        return None;
    }
    let mut out = BytesMut::with_capacity(usize::try_from(size).ok()?);
    out.put_slice(MAGIC);
    out.put_u64(incarnation);
    out.put_u64(nonce);
    out.put_u64(first);
    out.put_u32(count);
    for record in records {
        out.put_u32(u32::try_from(record.len()).ok()?);
        out.put_slice(record);
    }
    Some(out.freeze())
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("journal chunk `{what}` cannot be decoded"))
}

/// Decodes the header. `what` names the chunk in errors.
pub(super) fn header(what: &str, mut bytes: &[u8]) -> Result<Header, Error> {
    if (bytes.len() as u64) < HEADER || !bytes.starts_with(MAGIC) {
        return Err(damaged(what));
    }
    bytes.advance(MAGIC.len());
    Ok(Header { incarnation: bytes.get_u64(), nonce: bytes.get_u64(), first: bytes.get_u64(), count: bytes.get_u32() })
}

/// Decodes a whole chunk. The records share the chunk's memory.
pub(super) fn decode(what: &str, mut bytes: Bytes) -> Result<(Header, Vec<Bytes>), Error> {
    let header = header(what, &bytes)?;
    bytes.advance(usize::try_from(HEADER).unwrap_or(0));
    // Each record takes at least four bytes, so a false count cannot reserve more memory than the chunk has.
    if u64::from(header.count) * 4 > bytes.len() as u64 {
        return Err(damaged(what));
    }
    let mut records = Vec::with_capacity(usize::try_from(header.count).unwrap_or(0));
    for _ in 0..header.count {
        if bytes.len() < 4 {
            return Err(damaged(what));
        }
        let len = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
        if bytes.len() < len {
            return Err(damaged(what));
        }
        records.push(bytes.split_to(len));
    }
    if bytes.has_remaining() { Err(damaged(what)) } else { Ok((header, records)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_and_cut_or_longer_ones_do_not() {
        let records: Vec<Bytes> = ["", "one", "two"].iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        let bytes = encode(1, 2, 3, &records).unwrap();
        let (header, read) = decode("c", bytes.clone()).unwrap();
        assert_eq!((header, read), (Header { incarnation: 1, nonce: 2, first: 3, count: 3 }, records));
        assert_eq!(header.end(), 6);
        for cut in 0..bytes.len() {
            assert!(decode("c", bytes.slice(..cut)).is_err(), "{cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(decode("c", longer.into()).is_err());
        let mut lying = bytes.to_vec();
        lying[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(decode("c", lying.into()).is_err());
    }
}
