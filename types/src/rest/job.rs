//! Jobs, their tasks and events.

use crate::{
    Cost, Fault,
    digest::TaskKey,
    id::{FunctionName, JobId, NodeId},
    job::{JobSpec, JobState, StageKind, TaskState},
};
use serde::{Deserialize, Serialize};

/// The number of tasks in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskCounts {
    /// All tasks, over all stages.
    pub total: u64,
    /// Tasks waiting for inputs, for a free slot or for a backoff.
    pub waiting: u64,
    /// Tasks assigned to a node.
    pub running: u64,
    /// Successful tasks, including cached ones.
    pub succeeded: u64,
    /// Successful tasks with a result from the cache.
    pub cached: u64,
    /// Permanently failed tasks.
    pub failed: u64,
    /// Tasks in the list of dead letters. Those within the job's `allow-failed` do not fail it.
    #[serde(default)]
    pub dead: u64,
    /// Failed attempts that were or will be repeated.
    pub retries: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Job id.
    pub id: JobId,
    /// Display name.
    pub name: String,
    /// Name of the function.
    pub function: FunctionName,
    /// Version that runs, fixed when the job is accepted.
    pub version: u32,
    /// Name of the token that submitted it.
    pub submitter: String,
    /// Current state.
    pub state: JobState,
    /// One sentence on the state, such as the reason for waiting or for the failure.
    pub remark: String,
    /// One sentence on the reason why no task runs; absent while a task runs, and after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Task counts.
    pub tasks: TaskCounts,
    /// Cost so far.
    pub cost: Cost,
    /// Tags.
    pub tags: Vec<String>,
    /// Time of acceptance.
    pub created_ms: u64,
    /// Start time of its first task.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// End time.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Milliseconds from acceptance to start (or until now).
    pub queue_ms: u64,
    /// Milliseconds from start to end (or until now).
    pub run_ms: u64,
    /// Number of results of a successful job, otherwise 0.
    pub results: u64,
    /// Fault of the task that failed the job.
    #[serde(default)]
    pub error: Option<Fault>,
    /// `true` if it is in the bin; `restore` takes it out.
    #[serde(default)]
    pub deleted: bool,
    /// The submitted specification.
    pub spec: JobSpec,
}

/// One task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// Stage, from 0.
    pub stage: u16,
    /// Index within the stage, from 0.
    pub index: u32,
    /// Kind of the stage.
    pub kind: StageKind,
    /// Current state.
    pub state: TaskState,
    /// Attempts so far.
    pub attempts: u32,
    /// Node of the current or last attempt.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// Description of its input, such as `observations.csv 0-8388607`.
    pub input: String,
    /// Key under which its result is stored.
    #[serde(default)]
    pub key: Option<TaskKey>,
    /// Fuel of the successful attempt.
    pub fuel: u64,
    /// Wall clock of that attempt, in microseconds.
    pub wall_us: u64,
    /// Device time of its GPU work, in microseconds.
    #[serde(default)]
    pub gpu_us: u64,
    /// Size of the result in bytes.
    pub result_bytes: Option<u64>,
    /// `true` if the result existed already.
    pub cached: bool,
    /// Fault of the last failed attempt.
    #[serde(default)]
    pub error: Option<Fault>,
}

/// A task that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// Job id.
    pub job: JobId,
    /// Name of the function.
    pub function: FunctionName,
    /// Version that ran.
    pub version: u32,
    /// Stage, from 0.
    pub stage: u16,
    /// Index within the stage, from 0.
    pub index: u32,
    /// Description of its input, such as `observations.csv 0-8388607`.
    pub input: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Nodes of the failed attempts, in order, without duplicates.
    pub nodes: Vec<NodeId>,
    /// Fault of the last attempt.
    pub error: Fault,
    /// Time at which it was given up, in milliseconds since 1970.
    pub at_ms: u64,
}

/// An event of a job, as sent over SSE. The event's name is `kind`, its id `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobEvent {
    /// Sequence number within the job; resume with `Last-Event-ID`.
    pub seq: u64,
    /// Time of the event.
    pub at_ms: u64,
    /// `accepted`, `started`, `progress`, `retry`, `task-failed`, `succeeded`, `failed`, `cancelled`.
    pub kind: String,
    /// State of the job.
    pub state: JobState,
    /// One sentence on the state.
    pub remark: String,
    /// Task counts.
    pub tasks: TaskCounts,
    /// Cost so far.
    pub cost: Cost,
}

/// The size of a job, computed without running it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPlan {
    /// Number of partitions.
    pub partitions: u64,
    /// Number of tasks over all stages.
    pub tasks: u64,
    /// Input bytes.
    pub bytes_in: u64,
    /// Map tasks with a result in the cache.
    pub cached: u64,
    /// Estimate for the tasks that are not cached, from earlier jobs of the function; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// The expected cost of a job, from earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Fuel.
    pub fuel: u64,
    /// Wall clock inside sandboxes, in microseconds, summed.
    pub guest_us: u64,
    /// Milliseconds from the start of the first task to the end, if all slots of the ready nodes are free.
    pub run_ms: u64,
    /// Price of the fuel, if the server has prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Currency of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// One sentence on the basis of the estimate.
    pub basis: String,
}
