//! A task's record, kept small because there may be ten million, and the records of attempts that exist only while a
//! task runs.

use crate::Time;
use fabric_types::job::{TaskId, TaskState};

/// No node, no slot.
pub(crate) const NONE: u32 = u32::MAX;

/// What is kept of every task: 12 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    /// Missing inputs while blocked; place in the job's running table while running; else the last node or [`NONE`].
    pub link: u32,
    /// Highest attempt number handed out.
    pub attempts: u16,
    /// Attempts that failed.
    pub failures: u8,
    /// Attempts whose node was lost.
    pub losses: u8,
    pub state: TaskState,
    pub cached: bool,
    /// A process died with it; see `suspect.rs`.
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

/// An attempt that is with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub number: u32,
    pub node: u32,
    /// Queue depth it was sent at: it occupies a slot's `1/depth`.
    pub depth: u16,
    pub started: Time,
    pub lease_until: Time,
}

/// A running task's attempts: one, or two when a straggler got a copy.
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

/// An attempt as a node's record names it.
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
