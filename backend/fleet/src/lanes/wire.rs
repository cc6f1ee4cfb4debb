//! The wire format of lane messages, version 4. A receiver refuses other versions, which fails the send. The test
//! `the_bytes_of_version_4_are_kept` pins the encoding: a change of a serialized type increases the version. New
//! variants are appended, so that the encoding of the others does not change; a receiver refuses a variant that it does
//! not support.

use crate::Error;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use fabric_backend::lane::{FromNode, ToNode};
use fabric_types::{
    id::{JobId, TenantId},
    job::{StageKind, TaskId},
    work::{Assignment, Batch},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

const MAGIC: &[u8; 3] = b"FL\x04";

/// Size of a piece's header in bytes.
pub(super) const HEADER: usize = 3 + 8 + 8 + 4 + 4 + 4;

/// Maximum size of a message in bytes.
pub(super) const LONGEST: usize = 64 << 20;

/// Maximum number of pieces per message.
pub(super) const MOST_PIECES: u32 = 65_536;

/// Identifies a message: the sender and the sender's number.
pub(super) type MessageId = (u64, u64);

/// A message, or a piece of one that exceeds NATS's maximum payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: MessageId,
    /// Counted from 0.
    pub(super) index: u32,
    pub(super) pieces: u32,
    /// Size of the whole message in bytes.
    pub(super) total: u32,
    pub(super) body: Bytes,
}

impl Piece {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER + self.body.len());
        out.put_slice(MAGIC);
        out.put_u64(self.id.0);
        out.put_u64(self.id.1);
        out.put_u32(self.index);
        out.put_u32(self.pieces);
        out.put_u32(self.total);
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Decodes a piece. Returns `None` if the bytes are not a valid piece.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let id = (bytes.get_u64(), bytes.get_u64());
        let (index, pieces, total) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u32());
        let whole = usize::try_from(total).ok()?;
        let fits = pieces <= MOST_PIECES && index < pieces && whole <= LONGEST && bytes.len() <= whole;
        // A single piece must be the whole message.
        (fits && (pieces > 1 || bytes.len() == whole)).then_some(Self { id, index, pieces, total, body: bytes })
    }
}

/// The answer of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    /// The message is in the queue, or was before.
    Accepted,
    /// The queue is full; retry after a backoff.
    Full,
    /// The piece is stored; others are missing.
    Partial,
    /// The piece or message is invalid for this receiver.
    Refused,
}

impl Ack {
    pub(super) fn encode(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Accepted => b"T",
            Self::Full => b"F",
            Self::Partial => b"K",
            Self::Refused => b"R",
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"T" => Some(Self::Accepted),
            b"F" => Some(Self::Full),
            b"K" => Some(Self::Partial),
            b"R" => Some(Self::Refused),
            _ => None,
        }
    }
}

/// A message on a lane.
pub(super) trait Message: Sized + Send + 'static {
    fn encode(&self) -> Result<Bytes, Error>;
    fn decode(bytes: &[u8]) -> Option<Self>;
}

fn pack(message: &impl Serialize) -> Result<Bytes, Error> {
    let bytes =
        postcard::to_stdvec(message).map_err(|e| Error::Damaged(format!("cannot encode a lane message: {e}")))?;
    if bytes.len() > LONGEST {
        return Err(Error::Backend {
            backend: "nats",
            context: "send a message".to_owned(),
            source: format!("{} bytes, at most {LONGEST}", bytes.len()).into(),
            retryable: false,
        });
    }
    Ok(bytes.into())
}

fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().and_then(|(message, rest)| rest.is_empty().then_some(message))
}

#[derive(Serialize, Deserialize)]
enum ToNodeWire {
    Run {
        tenant: TenantId,
        job: JobId,
        /// JSON, since a deployment contains an arbitrary JSON schema and may gain fields.
        deployment: Vec<u8>,
        params: Arc<str>,
        stage: StageKind,
        buckets: u32,
        cache: bool,
        fuel: Option<u64>,
        tasks: Vec<Assignment>,
    },
    Abort {
        job: JobId,
        task: TaskId,
        attempt: u32,
    },
    AbortJob {
        job: JobId,
    },
    Released,
}

impl Message for ToNode {
    fn encode(&self) -> Result<Bytes, Error> {
        pack(&match self {
            Self::Run(batch) => ToNodeWire::Run {
                tenant: batch.tenant.clone(),
                job: batch.job.clone(),
                deployment: serde_json::to_vec(&*batch.deployment)
                    .map_err(|e| Error::Damaged(format!("cannot encode a deployment: {e}")))?,
                params: Arc::clone(&batch.params),
                stage: batch.stage,
                buckets: batch.buckets,
                cache: batch.cache,
                fuel: batch.fuel,
                tasks: batch.tasks.clone(),
            },
            Self::Abort { job, task, attempt } => {
                ToNodeWire::Abort { job: job.clone(), task: *task, attempt: *attempt }
            }
            Self::AbortJob { job } => ToNodeWire::AbortJob { job: job.clone() },
            Self::Released => ToNodeWire::Released,
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match unpack(bytes)? {
            ToNodeWire::Run { tenant, job, deployment, params, stage, buckets, cache, fuel, tasks } => {
                let deployment = Arc::new(serde_json::from_slice(&deployment).ok()?);
                Self::Run(Arc::new(Batch { tenant, job, deployment, params, stage, buckets, cache, fuel, tasks }))
            }
            ToNodeWire::Abort { job, task, attempt } => Self::Abort { job, task, attempt },
            ToNodeWire::AbortJob { job } => Self::AbortJob { job },
            ToNodeWire::Released => Self::Released,
        })
    }
}

impl Message for FromNode {
    fn encode(&self) -> Result<Bytes, Error> {
        pack(self)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        unpack(bytes)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
