//! Units of work as they travel from the scheduler to a node, and what comes back.

use crate::{
    Fault,
    dataset::Partition,
    digest::{ContentDigest, TaskKey},
    function::Deployment,
    id::{JobId, TenantId},
    job::{StageKind, TaskId},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A committed result, as later tasks and readers find it: under its key in the tenant's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// The key it is stored under.
    pub key: TaskKey,
    /// BLAKE3 of the bytes.
    pub digest: ContentDigest,
    /// Bytes.
    pub len: u64,
}

/// What a task reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskInput {
    /// A partition of the data set.
    Partition(Partition),
    /// Partial results, in task order.
    Partials(Arc<[OutputRef]>),
    /// One bucket of every map task's shuffle output, in task order.
    Bucket {
        /// Which bucket, from 0.
        bucket: u32,
        /// The map tasks' outputs.
        sources: Arc<[OutputRef]>,
    },
    /// The body of an asynchronous invocation, kept in the store.
    Body {
        /// Where the bytes are, in the tenant's results.
        body: OutputRef,
        /// The media type the caller named.
        content_type: Option<String>,
    },
}

/// One attempt of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which task.
    pub task: TaskId,
    /// Counts from 1.
    pub attempt: u32,
    /// What the result is stored under.
    pub key: TaskKey,
    /// What it reads.
    pub input: TaskInput,
}

/// Tasks of one stage of one job, sent to one node together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Whose job it is.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// What to run.
    pub deployment: Arc<Deployment>,
    /// Parameters in canonical JSON.
    pub params: Arc<str>,
    /// What the stage does.
    pub stage: StageKind,
    /// Buckets that a map stage divides emitted records into; 0 without a shuffle.
    pub buckets: u32,
    /// Whether a result under the key may be served without running.
    pub cache: bool,
    /// What the job's budget leaves: no attempt may spend more, whatever its function's limit. `None` without a budget.
    pub fuel: Option<u64>,
    /// The attempts.
    pub tasks: Vec<Assignment>,
}

/// A task that gave a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The committed result.
    pub output: OutputRef,
    /// Fuel spent by this attempt; 0 when cached.
    pub fuel: u64,
    /// Wall clock of the call in microseconds; 0 when cached.
    pub wall_us: u64,
    /// Device time of its GPU work in microseconds. Whoever writes this down as postcard puts it beside, where it is not 0:
    /// the bytes of the rest stay as they were.
    #[serde(skip)]
    pub gpu_us: u64,
    /// Input bytes the guest read.
    pub bytes_in: u64,
    /// Whether the result was there already and nothing ran.
    pub cached: bool,
    /// The digest of what this run gave, where other bytes were committed under the key before.
    pub differs: Option<ContentDigest>,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which task.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: u32,
    /// The result, or why there is none.
    pub result: Result<Done, Fault>,
}

/// What became of (part of) a batch. A node may report a batch in several pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// Whose job it is.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The attempts that ended.
    pub outcomes: Vec<Outcome>,
}
