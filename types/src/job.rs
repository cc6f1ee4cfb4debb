//! Jobs: what a user submits, and the states it passes.

use crate::{dataset::InputSpec, function::FunctionRef, label::Labels};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A job as it is submitted, in JSON or YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JobSpec {
    /// A name for people, at most 200 bytes. Default: the function's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to map, as `name`, `name@version` or `name:alias`.
    pub function: FunctionRef,
    /// What to map over.
    pub input: InputSpec,
    /// Parameters for every task. Default `{}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Merge the partial results with the function's reducer. Default no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Group the emitted records by key and reduce each group. Default no. Excludes `reduce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<Shuffle>,
    /// Where to put results: an object path when there is one result, else a prefix ending in `/`.
    /// Default: nowhere; they are read from the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Tasks of this job at once, over all nodes. Default 0: no limit of its own.
    #[serde(default)]
    pub concurrency: u32,
    /// Attempts a task may have. Default 4, at most 100.
    #[serde(default = "default_attempts")]
    pub max_attempts: u32,
    /// Map tasks that may fail for good without failing the job; their results are left out. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allow_failed: u32,
    /// Higher runs first among one tenant's jobs, -100 to 100. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// Fuel the whole job may spend; a number, or a text such as `"500M"` or `"10G"`. A task starts only
    /// while the budget covers it together with those that run, each taken to spend what the most expensive one has spent, and
    /// it is stopped when it has spent what was left. Then the job fails with `budget-exhausted`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::count::option::deserialize")]
    pub budget_fuel: Option<u64>,
    /// Serve results of earlier runs from the cache where the function is pure. Default true.
    #[serde(default = "yes")]
    pub cache: bool,
    /// Words to find it by, at most 32.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Labels that a node must have to run its tasks, besides those that the function needs. Default none.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub node_selector: Labels,
}

impl JobSpec {
    /// A spec of a function over nothing, everything else as by default.
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

/// How partial results are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reduce {
    /// Partial results that one reduce task merges, 2 to 1024. Default 16.
    #[serde(default = "default_fan_in")]
    pub fan_in: u32,
}

fn default_fan_in() -> u32 {
    16
}

impl Default for Reduce {
    fn default() -> Self {
        Self { fan_in: default_fan_in() }
    }
}

/// How emitted records are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shuffle {
    /// Reduce tasks, 1 to 4096; each key belongs to one of them.
    pub partitions: u32,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Accepted; no task has started.
    Queued,
    /// At least one task has started.
    Running,
    /// All tasks ended well; the result is there.
    Succeeded,
    /// A task used up its attempts, or a limit was hit.
    Failed,
    /// A user stopped it.
    Cancelled,
}

impl JobState {
    /// Whether it has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// As in JSON.
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

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Its inputs are not all there yet.
    Blocked,
    /// It may run when there is room.
    Pending,
    /// An attempt is with a node.
    Running,
    /// An attempt failed; the next one waits for its backoff.
    Backoff,
    /// Its result is committed.
    Succeeded,
    /// It has no attempts left, or the failure can't pass.
    Failed,
    /// The job ended before it did.
    Cancelled,
}

/// What a stage of a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// A task per partition.
    Map,
    /// A task per group of partial results.
    Reduce,
    /// A task per shuffle partition.
    KeyedReduce,
    /// The single task of an asynchronous invocation.
    Invoke,
}

/// A task within its job: stage 0 maps, later stages reduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskId {
    /// Counts from 0.
    pub stage: u16,
    /// Counts from 0 within the stage.
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.index)
    }
}
