//! Jobs: the specification that a user submits, and the states of jobs and tasks.

use crate::{dataset::InputSpec, function::FunctionRef, label::Labels};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The specification of a job, in JSON or YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JobSpec {
    /// A display name, at most 200 bytes. Default: the function's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Function to map, as `name`, `name@version` or `name:alias`.
    pub function: FunctionRef,
    /// Input to map over.
    pub input: InputSpec,
    /// Parameters for every task. Default `{}`.
    #[serde(default, deserialize_with = "crate::json::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Merge the partial results with the function's reducer. Default: no reduce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<ReduceSpec>,
    /// Group the emitted records by key and reduce each group. Default: no shuffle. Excludes `reduce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<ShuffleSpec>,
    /// Destination of the results: an object path for one result, else a prefix ending in `/`. Default: none; results
    /// are read from the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Maximum number of concurrent tasks of this job, over all nodes. Default 0: no limit.
    #[serde(default)]
    pub concurrency: u32,
    /// Maximum number of attempts per task. Default 4, at most 100.
    #[serde(default = "default_attempts")]
    pub max_attempts: u32,
    /// Map tasks that may fail permanently without failing the job. Their results are omitted. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allow_failed: u32,
    /// Priority among one tenant's jobs, -100 to 100. Higher runs first. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// Fuel that the whole job may spend: a number, or a text such as `"500M"` or `"10G"`. A task starts only while the
    /// rest of the budget covers it and the running tasks, each counted at the cost of the most expensive attempt so
    /// far. An attempt is stopped when it has spent the rest of the budget, and the job then fails with
    /// `budget-exhausted`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::count::option::deserialize")]
    pub budget_fuel: Option<u64>,
    /// Reuse results of earlier runs from the cache if the function is pure. Default true.
    #[serde(default = "yes")]
    pub cache: bool,
    /// Search tags, at most 32. Default none.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Labels that a node must have to run its tasks, in addition to those that the function requires. Default none.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub node_selector: Labels,
}

impl JobSpec {
    /// Creates a specification for a function with no input items and default values for everything else.
    #[must_use]
    pub fn new(function: FunctionRef) -> Self {
        Self {
            name: None,
            function,
            input: InputSpec::Items(Vec::new()),
            params: serde_json::Map::new(),
            reduce: None,
            shuffle: None,
            output: None,
            concurrency: 0,
            max_attempts: default_attempts(),
            allow_failed: 0,
            priority: 0,
            budget_fuel: None,
            cache: true,
            tags: Vec::new(),
            node_selector: Labels::new(),
        }
    }
}

fn default_attempts() -> u32 {
    4
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn yes() -> bool {
    true
}

/// The reduce stage of a job: merges partial results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReduceSpec {
    /// Partial results that one reduce task merges, 2 to 1024. Default 16.
    #[serde(default = "default_fan_in")]
    pub fan_in: u32,
}

fn default_fan_in() -> u32 {
    16
}

impl Default for ReduceSpec {
    fn default() -> Self {
        Self { fan_in: default_fan_in() }
    }
}

/// The shuffle stage of a job: groups emitted records by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShuffleSpec {
    /// Number of reduce tasks, 1 to 4096. Each key belongs to one of them.
    pub partitions: u32,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Accepted; no task has started.
    Queued,
    /// At least one task has started.
    Running,
    /// All tasks succeeded; the result is available.
    Succeeded,
    /// A task used up its attempts, or a limit was exceeded.
    Failed,
    /// A user cancelled it.
    Cancelled,
}

impl JobState {
    /// Returns `true` if the job has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Returns the state as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Some of its inputs are not available yet.
    Blocked,
    /// It waits for a free slot.
    Pending,
    /// An attempt is assigned to a node.
    Running,
    /// An attempt failed; the next one waits for its backoff.
    Backoff,
    /// Its result is committed.
    Succeeded,
    /// It has no attempts left, or its failure is permanent.
    Failed,
    /// The job ended before the task did.
    Cancelled,
}

/// The work of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// One task per partition.
    Map,
    /// One task per group of partial results.
    Reduce,
    /// One task per shuffle partition.
    KeyedReduce,
    /// The single task of an asynchronous invocation.
    Invoke,
}

/// A task within its job: stage 0 maps, later stages reduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskId {
    /// Stage, from 0.
    pub stage: u16,
    /// Index within the stage, from 0.
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.index)
    }
}
