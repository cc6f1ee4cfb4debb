//! The records of tasks and attempts. The record of a task is small, because there may be ten million tasks. The record
//! of an attempt exists only while its task runs.

use crate::Time;
use fabric_types::job::{TaskId, TaskState};

/// Index that stands for no node and no slot.
pub(crate) const NONE: u32 = u32::MAX;

/// The record of a task: 12 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    /// Missing inputs while blocked; place in the job's running table while running; else the last node or [`NONE`].
    pub link: u32,
    /// Highest attempt number handed out.
    pub attempts: u16,
    /// Failed attempts.
    pub failures: u8,
    /// Attempts lost with their node.
    pub losses: u8,
    pub state: TaskState,
    pub cached: bool,
    /// `true` if a process died while it was running the task; see `suspect.rs`.
    pub suspect: bool,
}

const _: () = assert!(size_of::<Task>() <= 12);

impl Task {
    pub const fn blocked(missing: u32) -> Self {
        Self {
            link: missing,
            attempts: 0,
            failures: 0,
            losses: 0,
            state: TaskState::Blocked,
            cached: false,
            suspect: false,
        }
    }

    pub const fn pending() -> Self {
        Self {
            link: NONE,
            attempts: 0,
            failures: 0,
            losses: 0,
            state: TaskState::Pending,
            cached: false,
            suspect: false,
        }
    }
}

/// An outstanding attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub number: u32,
    pub node: u32,
    /// Queue depth at dispatch. The attempt occupies `1/depth` of a slot.
    pub depth: u16,
    pub started: Time,
    pub lease_until: Time,
}

/// The attempts of a running task: one, or two if a straggler has a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    pub task: TaskId,
    pub first: Attempt,
    pub copy: Option<Attempt>,
}

impl Running {
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> + use<> {
        std::iter::once(self.first).chain(self.copy)
    }

    pub fn find(&self, number: u32, node: u32) -> Option<Attempt> {
        self.attempts().find(|a| a.number == number && a.node == node)
    }
}

/// The key of an attempt in a node's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AttemptKey {
    pub job: u32,
    pub stage: u16,
    pub index: u32,
    pub number: u32,
}

impl AttemptKey {
    pub const fn new(job: u32, task: TaskId, number: u32) -> Self {
        Self { job, stage: task.stage, index: task.index, number }
    }

    pub const fn task(self) -> TaskId {
        TaskId { stage: self.stage, index: self.index }
    }
}
