//! The form of messages on a lane. Version 1; a receiver drops other versions, and the sender's retry or the attempt's lease
//! makes it good. `wire_tests.rs` keeps the bytes of this version: who changes a type in them counts the version up. A new kind of
//! message comes last, so that the others keep their bytes; a receiver that does not know it refuses it.

use crate::Error;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use fabric_engine::lane::{FromNode, Held, ToNode};
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::{StageKind, TaskId},
    work::{Assignment, Batch, Completion, Done},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

const MAGIC: &[u8; 3] = b"FL\x03";

/// Bytes before the body of a piece.
pub(super) const HEADER: usize = 3 + 8 + 8 + 4 + 4 + 4;

/// Longest message, in bytes.
pub(super) const LONGEST: usize = 64 << 20;

/// Most pieces of one message.
pub(super) const MOST_PIECES: u32 = 65_536;

/// Which message: who sent it, and its number there.
pub(super) type MessageId = (u64, u64);

/// A message, or a piece of one that is longer than NATS takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: MessageId,
    /// From 0.
    pub(super) index: u32,
    pub(super) pieces: u32,
    /// Bytes of the whole message.
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

    /// Reads one; `None` for what is none.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let id = (bytes.get_u64(), bytes.get_u64());
        let (index, pieces, total) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u32());
        let whole = usize::try_from(total).ok()?;
        let fits = pieces <= MOST_PIECES && index < pieces && whole <= LONGEST && bytes.len() <= whole;
        // One piece is the whole of it.
        (fits && (pieces > 1 || bytes.len() == whole)).then_some(Self { id, index, pieces, total, body: bytes })
    }
}

/// What a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The message is in the queue, or was before.
    Taken,
    /// The queue is full: again in a moment.
    Full,
    /// The piece is kept; the others are missing.
    Kept,
    /// It makes no sense here.
    Refused,
}

impl Answer {
    pub(super) fn encode(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Taken => b"T",
            Self::Full => b"F",
            Self::Kept => b"K",
            Self::Refused => b"R",
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"T" => Some(Self::Taken),
            b"F" => Some(Self::Full),
            b"K" => Some(Self::Kept),
            b"R" => Some(Self::Refused),
            _ => None,
        }
    }
}

/// A message that travels on some lane.
pub(super) trait Message: Sized + Send + 'static {
    fn encode(&self) -> Result<Bytes, Error>;
    fn decode(bytes: &[u8]) -> Option<Self>;
}

fn pack(message: &impl Serialize) -> Result<Bytes, Error> {
    let bytes =
        postcard::to_stdvec(message).map_err(|e| Error::Damaged(format!("a message can't be written down: {e}")))?;
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
enum Down {
    Run {
        tenant: TenantId,
        job: JobId,
        /// JSON: a deployment holds a free JSON schema, and its form may gain fields.
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
            Self::Run(batch) => Down::Run {
                tenant: batch.tenant.clone(),
                job: batch.job.clone(),
                deployment: serde_json::to_vec(&*batch.deployment)
                    .map_err(|e| Error::Damaged(format!("a deployment can't be written down: {e}")))?,
                params: Arc::clone(&batch.params),
                stage: batch.stage,
                buckets: batch.buckets,
                cache: batch.cache,
                fuel: batch.fuel,
                tasks: batch.tasks.clone(),
            },
            Self::Abort { job, task, attempt } => Down::Abort { job: job.clone(), task: *task, attempt: *attempt },
            Self::AbortJob { job } => Down::AbortJob { job: job.clone() },
            Self::Released => Down::Released,
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match unpack(bytes)? {
            Down::Run { tenant, job, deployment, params, stage, buckets, cache, fuel, tasks } => {
                let deployment = Arc::new(serde_json::from_slice(&deployment).ok()?);
                Self::Run(Arc::new(Batch { tenant, job, deployment, params, stage, buckets, cache, fuel, tasks }))
            }
            Down::Abort { job, task, attempt } => Self::Abort { job, task, attempt },
            Down::AbortJob { job } => Self::AbortJob { job },
            Down::Released => Self::Released,
        })
    }
}

#[derive(Serialize, Deserialize)]
enum Up {
    Completed {
        node: NodeId,
        completion: Completion,
    },
    Heartbeat {
        node: NodeId,
    },
    Holds {
        node: NodeId,
        attempts: Vec<Held>,
    },
    /// [`Up::Completed`] with the device time of each result, in their order.
    CompletedOnGpu {
        node: NodeId,
        completion: Completion,
        gpu_us: Vec<u64>,
    },
}

fn results(completion: &mut Completion) -> impl Iterator<Item = &mut Done> {
    completion.outcomes.iter_mut().filter_map(|outcome| outcome.result.as_mut().ok())
}

impl Message for FromNode {
    fn encode(&self) -> Result<Bytes, Error> {
        pack(&match self {
            Self::Completed { node, completion } => {
                let (node, mut completion) = (node.clone(), completion.clone());
                let gpu_us: Vec<u64> = results(&mut completion).map(|done| done.gpu_us).collect();
                if gpu_us.iter().all(|us| *us == 0) {
                    Up::Completed { node, completion }
                } else {
                    Up::CompletedOnGpu { node, completion, gpu_us }
                }
            }
            Self::Heartbeat { node } => Up::Heartbeat { node: node.clone() },
            Self::Holds { node, attempts } => Up::Holds { node: node.clone(), attempts: attempts.clone() },
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match unpack(bytes)? {
            Up::Completed { node, completion } => Self::Completed { node, completion },
            Up::CompletedOnGpu { node, mut completion, gpu_us } => {
                for (done, gpu_us) in results(&mut completion).zip(gpu_us) {
                    done.gpu_us = gpu_us;
                }
                Self::Completed { node, completion }
            }
            Up::Heartbeat { node } => Self::Heartbeat { node },
            Up::Holds { node, attempts } => Self::Holds { node, attempts },
        })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
