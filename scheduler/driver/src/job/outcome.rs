//! The outcomes of attempts, tasks and jobs, as the journal records them.

use fabric_types::{
    Code, Fault,
    id::NodeId,
    job::{JobState, TaskId},
    work::Done,
};
use serde::{Deserialize, Serialize};

/// A task that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneTask {
    /// Task id.
    pub task: TaskId,
    /// Attempt number.
    pub attempt: u32,
    /// Result and cost.
    pub done: Done,
}

/// Tasks of one node that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneTasks {
    /// Node that ran the tasks.
    pub node: NodeId,
    /// The tasks.
    pub tasks: Vec<DoneTask>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedTask {
    /// Task id.
    pub task: TaskId,
    /// Attempt number.
    pub attempt: u32,
    /// Node that ran the attempt.
    pub node: NodeId,
    /// Fault of the attempt.
    pub fault: Fault,
}

/// A dead-lettered task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadTask {
    /// Task id.
    pub task: TaskId,
    /// Error code of its last attempt.
    pub code: Code,
    /// Time of the event, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEnd {
    /// Final state.
    pub state: JobState,
    /// Fault of a failed job.
    pub error: Option<Fault>,
    /// Time of the end, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}
