//! What the core asks for.

use crate::Time;
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::TaskId,
};

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every task has its result.
    Succeeded,
    /// It can't succeed any more.
    Failed {
        /// The task that failed it; none when the job as a whole hit a limit.
        task: Option<TaskId>,
        /// Why.
        code: Code,
    },
    /// A user stopped it.
    Cancelled,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an attempt to a node. Those for one node, job and stage come one after the other, ready to be batched.
    Dispatch {
        /// The node.
        node: NodeId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt, from 1.
        attempt: u32,
        /// Until when the node may work on it without having its lease renewed.
        lease_until: Time,
    },
    /// Stop an attempt, if it still runs. Nothing is expected back.
    Abort {
        /// The node.
        node: NodeId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: u32,
    },
    /// The first attempt of a job was dispatched.
    JobStarted {
        /// The job.
        job: JobId,
    },
    /// A failed or lost attempt will be repeated.
    TaskRetry {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        code: Code,
        /// When it may run again.
        due: Time,
    },
    /// A task is given up on. The job goes on without it, or its end follows.
    TaskDead {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Why its last attempt failed.
        code: Code,
    },
    /// A job ended. Its attempts have been aborted; later completions are ignored.
    JobFinished {
        /// The job.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// Send `Tick` (or anything else) at this time. Replaces the one before.
    WakeAt(Time),
}
