//! Lanes: work on its way to a node, and what became of it on its way back. Bounded, and allowed to lose or repeat:
//! leases and task keys turn that into a retry or a no-op.

use crate::Error;
use async_trait::async_trait;
use fabric_types::{
    id::{JobId, NodeId},
    job::TaskId,
    work::{Batch, Completion},
};
use std::sync::Arc;

/// What travels to a node.
#[derive(Debug, Clone, PartialEq)]
pub enum ToNode {
    /// Run these.
    Run(Arc<Batch>),
    /// Stop this attempt, if it is there.
    Abort {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: u32,
    },
    /// Stop every attempt of the job.
    AbortJob {
        /// The job.
        job: JobId,
    },
}

/// What travels back.
#[derive(Debug, Clone, PartialEq)]
pub enum FromNode {
    /// Attempts ended.
    Completed {
        /// Where they ran.
        node: NodeId,
        /// What became of them.
        completion: Completion,
    },
    /// The node lives and still runs what it was given.
    Heartbeat {
        /// Which node.
        node: NodeId,
    },
    /// The node lives, and this is all that it has of what it was given. What it should have and has not was lost on the
    /// way to it or on the way back.
    Holds {
        /// Which node.
        node: NodeId,
        /// Every attempt whose outcome it has not reported.
        attempts: Vec<(JobId, TaskId, u32)>,
    },
}

/// The node's end of a lane.
#[async_trait]
pub trait Inbox: Send + 'static {
    /// The next message; `None` when the lane is closed. Cancel safe.
    async fn recv(&mut self) -> Option<ToNode>;
}

/// The scheduler's end of all lanes.
#[async_trait]
pub trait Outbox: Send + 'static {
    /// The next message of any node; `None` when closed. Cancel safe.
    async fn recv(&mut self) -> Option<FromNode>;
}

/// Messages that may wait in a lane before the sender has to.
pub const LANE_DEPTH: usize = 1024;

/// Makes the ends of lanes.
#[async_trait]
pub trait Lanes: Send + Sync + 'static {
    /// Sends to a node; waits while its lane is full.
    ///
    /// # Errors
    /// [`Error::LaneClosed`] when the node has no lane; [`Error::Backend`].
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error>;

    /// Sends to the scheduler; waits while its inbox is full.
    ///
    /// # Errors
    /// As for [`Self::send`].
    async fn report(&self, message: FromNode) -> Result<(), Error>;

    /// Opens a node's lane, replacing an older one of the same name.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn open(&self, node: &NodeId) -> Result<Box<dyn Inbox>, Error>;

    /// Opens the scheduler's inbox, replacing an older one.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn collect(&self) -> Result<Box<dyn Outbox>, Error>;
}
