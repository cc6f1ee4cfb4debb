//! Jobs, their tasks and events.

use crate::{
    Fault,
    digest::TaskKey,
    id::{FunctionName, JobId, NodeId},
    job::{JobSpec, JobState, StageKind, TaskState},
};
use serde::{Deserialize, Serialize};

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskCounts {
    /// All of them, over all stages.
    pub total: u64,
    /// Waiting for inputs, for room or for a backoff.
    pub waiting: u64,
    /// With a node.
    pub running: u64,
    /// Done, the cached ones included.
    pub succeeded: u64,
    /// Done without running, from the cache.
    pub cached: u64,
    /// Failed for good.
    pub failed: u64,
    /// Given up on: each is in the list of dead letters. Those that the job allows do not fail it.
    #[serde(default)]
    pub dead: u64,
    /// Attempts that failed and were, or will be, repeated.
    pub retries: u64,
}

/// What a job has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cost {
    /// Fuel of all attempts that gave a result or a guest fault.
    pub fuel: u64,
    /// Wall clock inside sandboxes, microseconds, summed.
    pub guest_us: u64,
    /// Device time of GPU work, microseconds, summed over the attempts that gave a result.
    #[serde(default)]
    pub gpu_us: u64,
    /// Input bytes read.
    pub bytes_in: u64,
    /// Result bytes committed.
    pub bytes_out: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// The function.
    pub function: FunctionName,
    /// The version that runs; fixed when the job is accepted.
    pub version: u32,
    /// Who submitted it.
    pub submitter: String,
    /// Where it stands.
    pub state: JobState,
    /// One sentence on the state: why it waits, what it does, why it failed.
    pub remark: String,
    /// Why nothing of it runs, in one sentence; absent while something does, and when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// Its cost.
    pub cost: Cost,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was accepted.
    pub created_ms: u64,
    /// When its first task started.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// When it ended.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Milliseconds from accepted to started (or to now).
    pub queue_ms: u64,
    /// Milliseconds from started to ended (or to now).
    pub run_ms: u64,
    /// How many results there are to read once it succeeded; 0 where it did not.
    pub results: u64,
    /// The fault of the task that failed it.
    #[serde(default)]
    pub error: Option<Fault>,
    /// Whether it is in the bin; `restore` takes it out.
    #[serde(default)]
    pub deleted: bool,
    /// What was submitted.
    pub spec: JobSpec,
}

/// One task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// Stage, from 0.
    pub stage: u16,
    /// Index in the stage, from 0.
    pub index: u32,
    /// What the stage does.
    pub kind: StageKind,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts so far.
    pub attempts: u32,
    /// Where it runs or ran.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// What it reads, in words: `observations.csv 0-8388607`.
    pub input: String,
    /// What its result is stored under.
    #[serde(default)]
    pub key: Option<TaskKey>,
    /// Fuel of the attempt that gave the result.
    pub fuel: u64,
    /// Wall clock of that attempt, microseconds.
    pub wall_us: u64,
    /// Device time of its GPU work, microseconds.
    #[serde(default)]
    pub gpu_us: u64,
    /// Bytes of the result.
    pub result_bytes: Option<u64>,
    /// Whether the result was there already.
    pub cached: bool,
    /// The last failure.
    #[serde(default)]
    pub error: Option<Fault>,
}

/// A task that was given up on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// The job.
    pub job: JobId,
    /// The function.
    pub function: FunctionName,
    /// The version that ran.
    pub version: u32,
    /// Stage, from 0.
    pub stage: u16,
    /// Index in the stage, from 0.
    pub index: u32,
    /// What it reads, in words: `observations.csv 0-8388607`.
    pub input: String,
    /// Attempts it had.
    pub attempts: u32,
    /// Where they failed, in order; each node once.
    pub nodes: Vec<NodeId>,
    /// The last failure.
    pub error: Fault,
    /// When it was given up on, milliseconds since 1970.
    pub at_ms: u64,
}

/// What happened to a job, as sent over SSE. The event's name is `kind`, its id `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobEvent {
    /// Counts up within the job; resume with `Last-Event-ID`.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// `accepted`, `started`, `progress`, `retry`, `task-failed`, `succeeded`, `failed`, `cancelled`.
    pub kind: String,
    /// Where the job stands.
    pub state: JobState,
    /// One sentence.
    pub remark: String,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// Its cost.
    pub cost: Cost,
}

/// What a job would take, worked out without running it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobPlan {
    /// Partitions.
    pub partitions: u64,
    /// Tasks over all stages.
    pub tasks: u64,
    /// Input bytes.
    pub bytes_in: u64,
    /// Map tasks whose result is in the cache already.
    pub cached: u64,
    /// What the tasks that are not cached would take, by earlier jobs of the function; absent where none ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// What a job would take, by earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Estimate {
    /// Fuel.
    pub fuel: u64,
    /// Wall clock inside sandboxes, microseconds, summed.
    pub guest_us: u64,
    /// Milliseconds from the first task's start to the end, with all slots of the ready nodes free.
    pub run_ms: u64,
    /// Price of the fuel, where the server has prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Currency of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What it is worked out from, in one sentence.
    pub basis: String,
}

/// What a deletion of several jobs did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobsDeleted {
    /// Jobs that were deleted.
    pub deleted: u64,
    /// Pass it as `cursor` to delete the next ones; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
