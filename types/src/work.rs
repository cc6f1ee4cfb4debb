//! Units of work that the scheduler sends to nodes, and the completions that nodes return.

use crate::{
    Cost, Fault,
    dataset::Partition,
    digest::{ContentDigest, TaskKey},
    function::Deployment,
    id::{JobId, TenantId},
    job::{StageKind, TaskId},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A reference to a committed result, for later tasks and readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// Key under which the tenant's result is stored.
    pub key: TaskKey,
    /// BLAKE3 of the bytes.
    pub digest: ContentDigest,
    /// Size in bytes.
    pub len: u64,
}

/// The input of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskInput {
    /// A partition of the data set.
    Partition(Partition),
    /// Partial results, in task order.
    Partials(Arc<[OutputRef]>),
    /// One bucket of every map task's shuffle output, in task order.
    Bucket {
        /// Index of the bucket, from 0.
        bucket: u32,
        /// Outputs of the map tasks.
        sources: Arc<[OutputRef]>,
    },
    /// The body of an asynchronous invocation, stored with the tenant's results.
    Body {
        /// Location of the bytes in the tenant's results.
        body: OutputRef,
        /// Media type that the caller gave.
        content_type: Option<String>,
    },
}

/// One attempt of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Task id.
    pub task: TaskId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Key under which the result is stored.
    pub key: TaskKey,
    /// Input of the task.
    pub input: TaskInput,
}

/// Tasks of one stage of one job, sent to one node together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Tenant that owns the job.
    pub tenant: TenantId,
    /// Job id.
    pub job: JobId,
    /// Function version to run.
    pub deployment: Arc<Deployment>,
    /// Parameters in canonical JSON.
    pub params: Arc<str>,
    /// Kind of the stage.
    pub stage: StageKind,
    /// Number of buckets into which a map stage divides emitted records; 0 without a shuffle.
    pub buckets: u32,
    /// `true` if a stored result under the key may be used instead of running the task.
    pub cache: bool,
    /// Rest of the job's fuel budget. No attempt may spend more, regardless of its function's limit. `None` without a
    /// budget.
    pub fuel: Option<u64>,
    /// Attempts to run.
    pub tasks: Vec<Assignment>,
}

/// A successful attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Committed result.
    pub output: OutputRef,
    /// Cost of the attempt; 0 if cached.
    pub cost: Cost,
    /// `true` if the result existed already and nothing ran.
    pub cached: bool,
    /// Digest of this run's result, if different bytes were committed under the key before.
    pub differs: Option<ContentDigest>,
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptOutcome {
    /// Task id.
    pub task: TaskId,
    /// Number of the attempt.
    pub attempt: u32,
    /// Result or fault.
    pub result: Result<Done, Fault>,
}

/// Ended attempts of a batch. A node may report a batch in several completions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// Tenant that owns the job.
    pub tenant: TenantId,
    /// Job id.
    pub job: JobId,
    /// Ended attempts.
    pub outcomes: Vec<AttemptOutcome>,
}
