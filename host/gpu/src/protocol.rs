//! What goes between the node and its workers over one socket, in both directions: frames of a head in postcard and,
//! behind it, raw bytes.
//!
//! ```text
//! u32 length of the head | u32 length of the bytes | head | bytes
//! ```
//!
//! Lengths are little-endian. The worker answers each request with one frame, in order. Either side ends when a frame
//! makes no sense; the node believes nothing of an answer but its bytes, times and error.

use crate::{
    Error, Info, Limits,
    command::{BufferId, Command, PipelineId, Range, Reflection},
    limits::CHUNK_BYTES,
    shader::{Extensions, Source},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A longer head is not one: a shader and its names, or the commands of a submit, take less.
pub(crate) const MAX_HEAD_BYTES: u32 = 1 << 20;

/// The first frame, which says what the process is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// Check one shader and end.
    Check {
        source: Source,
        extensions: Extensions,
        limits: Limits,
        memory_bytes: u64,
        cpu_seconds: u64,
        /// The user to become where the worker is root.
        user: Option<u32>,
    },
    /// Own a device and serve [`Request`]s until the socket is closed.
    Device { adapter: Option<String>, memory_bytes: u64, limits: Limits, user: Option<u32> },
}

/// What a device is asked. Everything in it was checked by the node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Create {
        session: u64,
        buffer: BufferId,
        bytes: u64,
    },
    Destroy {
        session: u64,
        buffer: BufferId,
    },
    /// The bytes follow.
    Write {
        session: u64,
        buffer: BufferId,
        offset: u64,
    },
    Compile {
        session: u64,
        pipeline: PipelineId,
        key: [u8; 32],
        source: Source,
        reflection: Reflection,
    },
    DropPipeline {
        session: u64,
        pipeline: PipelineId,
    },
    Submit {
        session: u64,
        commands: Vec<Command>,
        reads: Vec<Range>,
        deadline_ms: u64,
    },
    /// Zeroes and frees all that the session has.
    Close {
        session: u64,
    },
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To [`Start::Device`].
    Ready(Box<Info>),
    /// To [`Start::Device`]: why there is no device.
    NoDevice(String),
    /// To [`Start::Check`].
    Checked(Reflection),
    /// It is done, in this time; what was read follows.
    Done { device_ns: u64 },
    /// It is not done, and nothing of it was.
    Failed(Error),
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn prefix(head: &[u8], bytes: usize) -> io::Result<[u8; 8]> {
    let head = u32::try_from(head.len()).ok().filter(|len| *len <= MAX_HEAD_BYTES).ok_or_else(|| bad("a long head"))?;
    let bytes = u32::try_from(bytes).ok().filter(|len| u64::from(*len) <= CHUNK_BYTES);
    let bytes = bytes.ok_or_else(|| bad("too many bytes"))?;
    Ok((u64::from(head) | u64::from(bytes) << 32).to_le_bytes())
}

fn lengths(prefix: [u8; 8]) -> io::Result<(usize, usize)> {
    let both = u64::from_le_bytes(prefix);
    let (head, bytes) = (both & u64::from(u32::MAX), both >> 32);
    if head > u64::from(MAX_HEAD_BYTES) || bytes > CHUNK_BYTES {
        return Err(bad("a frame beyond its limits"));
    }
    Ok((head as usize, bytes as usize))
}

/// A frame's lengths and head, for so many bytes.
///
/// # Errors
/// When it is longer than a frame may be; nothing is sent then.
pub(crate) fn encode(head: &impl Serialize, bytes: usize) -> io::Result<Vec<u8>> {
    let encoded = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let mut frame = prefix(&encoded, bytes)?.to_vec();
    frame.extend_from_slice(&encoded);
    Ok(frame)
}

/// Sends a frame; blocks. In one call where the socket takes it, so that the other side wakes once.
pub(crate) fn send(to: &mut impl Write, head: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let head = encode(head, bytes.len())?;
    let sent = match to.write_vectored(&[IoSlice::new(&head), IoSlice::new(bytes)]) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        sent => sent.unwrap_or(0),
    };
    let (head, bytes) = left(&head, bytes, sent);
    to.write_all(head)?;
    to.write_all(bytes)?;
    to.flush()
}

/// What is left to send of a head and its bytes.
fn left<'a>(head: &'a [u8], bytes: &'a [u8], sent: usize) -> (&'a [u8], &'a [u8]) {
    let of_bytes = sent.saturating_sub(head.len());
    (head.get(sent..).unwrap_or_default(), bytes.get(of_bytes..).unwrap_or_default())
}

/// Reads a frame; blocks. `None` when the other side closed before one began. `bytes` keeps its memory between calls.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Option<T>> {
    let mut prefix = [0; 8];
    match from.read(&mut prefix)? {
        0 => return Ok(None),
        n => from.read_exact(prefix.get_mut(n..).unwrap_or_default())?,
    }
    let (head_len, bytes_len) = lengths(prefix)?;
    let mut head = vec![0; head_len];
    from.read_exact(&mut head)?;
    bytes.resize(bytes_len, 0);
    from.read_exact(bytes)?;
    postcard::from_bytes(&head).map(Some).map_err(|_| bad("a head that makes no sense"))
}

/// Sends what [`encode`] made, and the bytes.
pub(crate) async fn send_async(to: &mut (impl AsyncWrite + Unpin), head: &[u8], bytes: &[u8]) -> io::Result<()> {
    let sent = to.write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]).await?;
    let (head, bytes) = left(head, bytes, sent);
    to.write_all(head).await?;
    to.write_all(bytes).await
}

/// [`receive`] for the node.
///
/// # Errors
/// `UnexpectedEof` when the worker is gone.
pub(crate) async fn receive_async<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<(T, Vec<u8>)> {
    let mut prefix = [0; 8];
    from.read_exact(&mut prefix).await?;
    let (head_len, bytes_len) = lengths(prefix)?;
    let mut head = vec![0; head_len];
    from.read_exact(&mut head).await?;
    let mut bytes = Vec::with_capacity(bytes_len);
    (&mut *from).take(bytes_len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() != bytes_len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((postcard::from_bytes(&head).map_err(|_| bad("a head that makes no sense"))?, bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_goes_there_and_back() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::Write { session: 7, buffer: BufferId(3), offset: 8 }, &[1, 2, 3, 4]).unwrap();
        let mut bytes = Vec::new();
        let mut from = wire.as_slice();
        let request: Option<Request> = receive(&mut from, &mut bytes).unwrap();
        assert!(matches!(request, Some(Request::Write { session: 7, buffer: BufferId(3), offset: 8 })));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert!(receive::<Request>(&mut from, &mut bytes).unwrap().is_none());
    }

    #[test]
    fn long_frames_are_refused_before_they_are_read() {
        let long = (1_u64 << 21).to_le_bytes();
        assert!(receive::<Request>(&mut long.as_slice(), &mut Vec::new()).is_err());
        let many = ((CHUNK_BYTES + 4) << 32).to_le_bytes();
        assert!(receive::<Request>(&mut many.as_slice(), &mut Vec::new()).is_err());
        let chunk = vec![0; CHUNK_BYTES as usize + 4];
        assert!(send(&mut Vec::new(), &Reply::Done { device_ns: 0 }, &chunk).is_err());
    }

    proptest! {
        /// Any bytes from the other side end in an answer or an error.
        #[test]
        fn any_bytes_are_read(wire in proptest::collection::vec(any::<u8>(), 0..200), len in 0_u8..100) {
            let mut framed = u64::from(len).to_le_bytes().to_vec();
            framed.extend_from_slice(&wire);
            let _ = receive::<Reply>(&mut wire.as_slice(), &mut Vec::new());
            let _ = receive::<Request>(&mut framed.as_slice(), &mut Vec::new());
        }
    }
}
