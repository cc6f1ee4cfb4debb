//! Protocol between the node and its workers, over one socket in both directions. A frame is a head in postcard,
//! followed by raw bytes.
//!
//! ```text
//! u32 length of the head | u32 length of the bytes | head | bytes
//! ```
//!
//! Lengths are little-endian. The worker replies to each request with one frame, in order. Either side closes the
//! connection on a malformed frame. The node uses only the bytes, times and error of a reply.

use crate::{
    AdapterInfo, AdapterLimits, Error,
    command::{BufferId, ByteRange, GpuCommand, PipelineId, Reflection},
    limits::CHUNK_BYTES,
    shader::{Extensions, Source},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest head, in bytes. A shader with its names, or the commands of a submit, take less.
pub(crate) const MAX_HEAD_BYTES: u32 = 1 << 20;

/// The first frame, which determines the role of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// Checks one shader, then ends.
    Check {
        source: Source,
        extensions: Extensions,
        limits: AdapterLimits,
        memory_bytes: u64,
        cpu_seconds: u64,
        /// User id to switch to if the worker runs as root.
        user: Option<u32>,
    },
    /// Owns a device and serves [`Request`]s until the socket is closed.
    Device { adapter: Option<String>, memory_bytes: u64, limits: AdapterLimits, user: Option<u32> },
}

/// A request to the device worker. The node has validated all values.
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
    /// Followed by the bytes.
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
        commands: Vec<GpuCommand>,
        reads: Vec<ByteRange>,
        deadline_ms: u64,
    },
    /// Zeroes and frees all buffers of the session.
    Close {
        session: u64,
    },
}

/// A reply of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Reply to [`Start::Device`]: the device is open.
    Ready(Box<AdapterInfo>),
    /// Reply to [`Start::Device`]: the reason why there is no device.
    NoDevice(String),
    /// Reply to [`Start::Check`]: the shader is valid.
    Checked(Reflection),
    /// The request succeeded, in this time. Followed by the bytes read.
    Done { device_ns: u64 },
    /// The request failed and had no effect.
    Failed(Error),
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn prefix(head: &[u8], bytes: usize) -> io::Result<[u8; 8]> {
    let head =
        u32::try_from(head.len()).ok().filter(|len| *len <= MAX_HEAD_BYTES).ok_or_else(|| bad("head too long"))?;
    let bytes = u32::try_from(bytes).ok().filter(|len| u64::from(*len) <= CHUNK_BYTES);
    let bytes = bytes.ok_or_else(|| bad("frame too long"))?;
    Ok((u64::from(head) | u64::from(bytes) << 32).to_le_bytes())
}

fn lengths(prefix: [u8; 8]) -> io::Result<(usize, usize)> {
    let both = u64::from_le_bytes(prefix);
    let (head, bytes) = (both & u64::from(u32::MAX), both >> 32);
    if head > u64::from(MAX_HEAD_BYTES) || bytes > CHUNK_BYTES {
        return Err(bad("frame exceeds its limits"));
    }
    Ok((head as usize, bytes as usize))
}

/// Encodes a frame's lengths and head for a payload of `bytes` bytes.
///
/// # Errors
/// If the frame exceeds the limits.
pub(crate) fn encode(head: &impl Serialize, bytes: usize) -> io::Result<Vec<u8>> {
    let encoded = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let mut frame = prefix(&encoded, bytes)?.to_vec();
    frame.extend_from_slice(&encoded);
    Ok(frame)
}

/// Sends a frame. Blocks. Uses one call if the socket accepts all bytes, so that the receiver wakes once.
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

/// Returns the unsent rest of a head and its bytes.
fn left<'a>(head: &'a [u8], bytes: &'a [u8], sent: usize) -> (&'a [u8], &'a [u8]) {
    let of_bytes = sent.saturating_sub(head.len());
    (head.get(sent..).unwrap_or_default(), bytes.get(of_bytes..).unwrap_or_default())
}

/// Reads a frame. Blocks. Returns `None` if the other side closed the socket before a frame. `bytes` is reused between
/// calls.
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
    postcard::from_bytes(&head).map(Some).map_err(|_| bad("malformed frame head"))
}

/// Sends a head encoded by [`encode`], and the bytes.
pub(crate) async fn send_async(to: &mut (impl AsyncWrite + Unpin), head: &[u8], bytes: &[u8]) -> io::Result<()> {
    let sent = to.write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]).await?;
    let (head, bytes) = left(head, bytes, sent);
    to.write_all(head).await?;
    to.write_all(bytes).await
}

/// Async variant of [`receive`], for the node.
///
/// # Errors
/// `UnexpectedEof` if the worker has ended.
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
    Ok((postcard::from_bytes(&head).map_err(|_| bad("malformed frame head"))?, bytes))
}

#[cfg(test)]
mod tests {
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
        /// Any bytes from the other side are decoded or rejected without a panic.
        #[test]
        fn any_bytes_are_read(wire in proptest::collection::vec(any::<u8>(), 0..200), len in 0_u8..100) {
            let mut framed = u64::from(len).to_le_bytes().to_vec();
            framed.extend_from_slice(&wire);
            let _ = receive::<Reply>(&mut wire.as_slice(), &mut Vec::new());
            let _ = receive::<Request>(&mut framed.as_slice(), &mut Vec::new());
        }
    }
}
