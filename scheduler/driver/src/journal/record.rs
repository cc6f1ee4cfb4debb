//! The records of a job's journal. The first byte of a record identifies its kind.
//!
//! Records that grow with the number of tasks use postcard. The others use JSON, which tolerates new fields. The order
//! of enum variants inside postcard records ([`Partition`]) must never change.

use super::packed_partitions::PackedPartitions;
use crate::job::{DeadTask, DoneTasks, FailedTask, JobEnd, Meta};
use bytes::Bytes;
use fabric_types::{Code, Fault, dataset::Partition};
use serde::{Serialize, de::DeserializeOwned};

/// Maximum partitions in one record, to bound its size.
pub const PARTITIONS_PER_RECORD: usize = 10_000;

/// A record of a job's journal.
#[derive(Debug, Clone)]
pub enum JobRecord {
    /// The job was accepted.
    Accepted(Box<Meta>),
    /// The next inputs of the job's map tasks.
    Partitions(Vec<Partition>),
    /// The first task was sent, at this time in milliseconds since the Unix epoch.
    Started(u64),
    /// Tasks succeeded.
    Done(DoneTasks),
    /// An attempt failed.
    Failed(FailedTask),
    /// A task was dead-lettered.
    Dead(DeadTask),
    /// A user requested cancellation.
    CancelRequested,
    /// The job ended.
    Ended(JobEnd),
    /// The job was moved into the bin (`true`) or out of it (`false`).
    Binned(bool),
    /// The owner with this epoch of the lease resumed the job. A late append of an earlier owner then finds another
    /// stream length and is refused.
    Owned(u64),
}

/// A record that cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[error("journal record of kind {kind:?} is damaged: {source}")]
pub struct Damaged {
    kind: char,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<Damaged> for Fault {
    fn from(error: Damaged) -> Self {
        Self::new(Code::Internal, error.to_string())
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

impl JobRecord {
    /// Encodes the record.
    ///
    /// # Errors
    /// [`Damaged`] if a part cannot be encoded, which is a defect.
    pub fn encode(&self) -> Result<Bytes, Damaged> {
        match self {
            Self::Accepted(meta) => json(b'A', meta),
            Self::Partitions(list) => compact(b'Q', &PackedPartitions::new(list)),
            Self::Started(at_ms) => json(b'S', at_ms),
            Self::Done(done) => compact(b'R', done),
            Self::Failed(failed) => json(b'F', failed),
            Self::Dead(dead) => json(b'X', dead),
            Self::CancelRequested => Ok(tagged(b'C', Vec::new())),
            Self::Ended(ended) => json(b'E', ended),
            Self::Binned(binned) => json(b'B', binned),
            Self::Owned(epoch) => json(b'O', epoch),
        }
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// [`Damaged`] if the bytes are not a valid record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((&tag, body)) = bytes.split_first() else {
            return Err(Damaged { kind: ' ', source: "it is empty".into() });
        };
        Ok(match tag {
            b'A' => Self::Accepted(Box::new(read_json(tag, body)?)),
            b'P' => Self::Partitions(read_compact(tag, body)?),
            b'Q' => {
                let unpacked = read_compact::<PackedPartitions>(tag, body)?.unpack();
                let missing =
                    || Damaged { kind: tag.into(), source: "it refers to an object that it does not list".into() };
                Self::Partitions(unpacked.ok_or_else(missing)?)
            }
            b'S' => Self::Started(read_json(tag, body)?),
            b'R' => Self::Done(read_compact(tag, body)?),
            b'F' => Self::Failed(read_json(tag, body)?),
            b'X' => Self::Dead(read_json(tag, body)?),
            b'C' => Self::CancelRequested,
            b'E' => Self::Ended(read_json(tag, body)?),
            b'B' => Self::Binned(read_json(tag, body)?),
            b'O' => Self::Owned(read_json(tag, body)?),
            other => {
                return Err(Damaged { kind: other.into(), source: "this version does not support its kind".into() });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::DoneTask;
    use fabric_types::{
        Cost,
        digest::{ContentDigest, TaskKey},
        id::NodeId,
        job::TaskId,
        work::{Done, OutputRef},
    };

    #[test]
    fn results_are_read_as_they_were_written() {
        let output = OutputRef { key: TaskKey([1; 32]), digest: ContentDigest([2; 32]), len: 3 };
        let cost = Cost { fuel: 4, wall_us: 5, gpu_us: 6, bytes_in: 7, bytes_out: 3 };
        let done = Done { output, cost, cached: false, differs: None };
        let tasks = vec![DoneTask { task: TaskId { stage: 0, index: 1 }, attempt: 1, done }];
        let done = DoneTasks { node: NodeId::new("n").unwrap(), tasks };
        let bytes = JobRecord::Done(done.clone()).encode().unwrap();
        let JobRecord::Done(read) = JobRecord::decode(&bytes).unwrap() else { panic!("another kind") };
        assert_eq!(read, done);
    }
}
