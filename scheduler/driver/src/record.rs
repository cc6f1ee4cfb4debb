//! The records of a job's journal. Each begins with a byte that says what it is.
//!
//! What grows with the number of tasks is postcard; the rest is JSON, which tolerates new fields. The order of enum
//! variants inside postcard records ([`Partition`]) must never change.

use crate::{meta::Meta, partitions::Packed};
use bytes::Bytes;
use fabric_types::{Code, Fault, dataset::Partition, id::NodeId, job::JobState, job::TaskId, work::Done};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Partitions in one record, so that none grows without bound.
pub const PARTITIONS_PER_RECORD: usize = 10_000;

/// A task that ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneTask {
    /// Which task.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: u32,
    /// Its result and cost.
    pub done: Done,
}

/// Tasks of one node that ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneTasks {
    /// Where.
    pub node: NodeId,
    /// The tasks.
    pub tasks: Vec<DoneTask>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedTask {
    /// Which task.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: u32,
    /// Where.
    pub node: NodeId,
    /// Why.
    pub fault: Fault,
}

/// A task that was given up on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadTask {
    /// Which task.
    pub task: TaskId,
    /// Why its last attempt failed.
    pub code: Code,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub state: JobState,
    /// Why, when it did not succeed.
    pub error: Option<Fault>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// One record.
#[derive(Debug, Clone)]
pub enum Record {
    /// The job was accepted.
    Accepted(Box<Meta>),
    /// The next inputs of its map tasks.
    Partitions(Vec<Partition>),
    /// Its first task was sent, at this millisecond.
    Started(u64),
    /// Tasks ended well.
    Done(DoneTasks),
    /// An attempt failed.
    Failed(FailedTask),
    /// A task was given up on.
    Dead(DeadTask),
    /// A user asked to stop it.
    CancelAsked,
    /// It ended.
    Ended(Ended),
    /// It was put into the bin, or taken out.
    Binned(bool),
    /// The holder of this epoch of the lease has taken it up. What an earlier owner still wanted to append finds another
    /// length, and so is refused.
    Owned(u64),
}

/// A record that does not read back.
#[derive(Debug, thiserror::Error)]
#[error("journal record of kind {kind:?} is damaged: {source}")]
pub struct Damaged {
    kind: char,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<Damaged> for Fault {
    fn from(error: Damaged) -> Self {
        Self::new(fabric_types::Code::Internal, error.to_string())
    }
}

fn tagged(tag: u8, body: Vec<u8>) -> Bytes {
    let mut bytes = Vec::with_capacity(body.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(&body);
    bytes.into()
}

fn json<T: Serialize>(tag: u8, value: &T) -> Result<Bytes, Damaged> {
    serde_json::to_vec(value).map(|b| tagged(tag, b)).map_err(|e| Damaged { kind: tag.into(), source: e.into() })
}

fn compact<T: Serialize>(tag: u8, value: &T) -> Result<Bytes, Damaged> {
    postcard::to_extend(value, vec![tag]).map(Bytes::from).map_err(|e| Damaged { kind: tag.into(), source: e.into() })
}

fn read_json<T: DeserializeOwned>(tag: u8, body: &[u8]) -> Result<T, Damaged> {
    serde_json::from_slice(body).map_err(|e| Damaged { kind: tag.into(), source: e.into() })
}

fn read_compact<T: DeserializeOwned>(tag: u8, body: &[u8]) -> Result<T, Damaged> {
    postcard::from_bytes(body).map_err(|e| Damaged { kind: tag.into(), source: e.into() })
}

impl Record {
    /// The bytes of it.
    ///
    /// # Errors
    /// [`Damaged`] when a part can't be written, which is a defect.
    pub fn encode(&self) -> Result<Bytes, Damaged> {
        match self {
            Self::Accepted(meta) => json(b'A', meta),
            Self::Partitions(list) => compact(b'Q', &Packed::new(list)),
            Self::Started(at_ms) => json(b'S', at_ms),
            Self::Done(done) if done.tasks.iter().all(|t| t.done.gpu_us == 0) => compact(b'D', done),
            Self::Done(done) => {
                let gpu_us: Vec<u64> = done.tasks.iter().map(|t| t.done.gpu_us).collect();
                compact(b'G', &(gpu_us, done))
            }
            Self::Failed(failed) => json(b'F', failed),
            Self::Dead(dead) => json(b'X', dead),
            Self::CancelAsked => Ok(tagged(b'C', Vec::new())),
            Self::Ended(ended) => json(b'E', ended),
            Self::Binned(binned) => json(b'B', binned),
            Self::Owned(epoch) => json(b'O', epoch),
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((&tag, body)) = bytes.split_first() else {
            return Err(Damaged { kind: ' ', source: "it is empty".into() });
        };
        Ok(match tag {
            b'A' => Self::Accepted(Box::new(read_json(tag, body)?)),
            b'P' => Self::Partitions(read_compact(tag, body)?),
            b'Q' => {
                let unpacked = read_compact::<Packed>(tag, body)?.unpack();
                let missing =
                    || Damaged { kind: tag.into(), source: "it names an object that it does not list".into() };
                Self::Partitions(unpacked.ok_or_else(missing)?)
            }
            b'S' => Self::Started(read_json(tag, body)?),
            b'D' => Self::Done(read_compact(tag, body)?),
            b'G' => {
                let (gpu_us, mut done): (Vec<u64>, DoneTasks) = read_compact(tag, body)?;
                for (task, gpu_us) in done.tasks.iter_mut().zip(gpu_us) {
                    task.done.gpu_us = gpu_us;
                }
                Self::Done(done)
            }
            b'F' => Self::Failed(read_json(tag, body)?),
            b'X' => Self::Dead(read_json(tag, body)?),
            b'C' => Self::CancelAsked,
            b'E' => Self::Ended(read_json(tag, body)?),
            b'B' => Self::Binned(read_json(tag, body)?),
            b'O' => Self::Owned(read_json(tag, body)?),
            other => {
                return Err(Damaged {
                    kind: other.into(),
                    source: "it is of a kind that this version does not know".into(),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use fabric_types::{
        digest::{ContentDigest, TaskKey},
        work::OutputRef,
    };

    fn done(gpu_us: [u64; 2]) -> DoneTasks {
        let output = OutputRef { key: TaskKey([1; 32]), digest: ContentDigest([2; 32]), len: 3 };
        let done = Done { output, fuel: 4, wall_us: 5, gpu_us: 0, bytes_in: 6, cached: false, differs: None };
        let tasks = gpu_us.into_iter().enumerate().map(|(at, gpu_us)| DoneTask {
            task: TaskId { stage: 0, index: at as u32 },
            attempt: 1,
            done: Done { gpu_us, ..done.clone() },
        });
        DoneTasks { node: NodeId::new("n").unwrap(), tasks: tasks.collect() }
    }

    #[test]
    fn gpu_time_is_written_where_there_is_some_and_the_rest_reads_as_before() {
        for (gpu_us, tag) in [([0, 0], b'D'), ([0, 9], b'G')] {
            let bytes = Record::Done(done(gpu_us)).encode().unwrap();
            assert_eq!(bytes.first(), Some(&tag));
            let Record::Done(read) = Record::decode(&bytes).unwrap() else { panic!("another kind") };
            assert_eq!(read, done(gpu_us));
        }
    }
}
