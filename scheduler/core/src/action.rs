//! Actions that the core returns to its caller.

use crate::Time;
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::TaskId,
};

/// The outcome of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// Every task has its result.
    Succeeded,
    /// The job can no longer succeed.
    Failed {
        /// Task that failed the job; `None` if the job as a whole exceeded a limit.
        task: Option<TaskId>,
        /// Error code of the failure.
        code: Code,
    },
    /// A user cancelled the job.
    Cancelled,
}

/// A request from the core to its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an attempt to a node. Dispatches of one chunk (same node, job and stage) are adjacent, ready to be batched.
    Dispatch {
        /// The node.
        node: NodeId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Attempt number, starting at 1.
        attempt: u32,
        /// End of the attempt's lease unless the node's lease is renewed.
        lease_until: Time,
    },
    /// Stop an attempt, if it still runs. No reply is expected.
    Abort {
        /// The node.
        node: NodeId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Attempt number.
        attempt: u32,
    },
    /// The first attempt of a job was dispatched.
    JobStarted {
        /// The job.
        job: JobId,
    },
    /// A failed or lost attempt will be retried.
    TaskRetry {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Number of the failed attempt.
        attempt: u32,
        /// Error code of the failed attempt.
        code: Code,
        /// Earliest time of the next attempt.
        due: Time,
    },
    /// A task was dead-lettered. The job continues without it, or fails in the same step.
    TaskDead {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Error code of its last attempt.
        code: Code,
    },
    /// A job ended. Its attempts have been aborted; later completions are ignored.
    JobFinished {
        /// The job.
        job: JobId,
        /// Outcome of the job.
        outcome: JobOutcome,
    },
    /// Send `Tick` (or any other event) at this time. Replaces the previous wake-up time.
    WakeAt(Time),
}
