//! Lanes: bounded channels that carry work to a node and completions back. A lane may lose or repeat messages; leases
//! and task keys turn a loss into a retry and a repetition into a no-op.

use crate::Error;
use async_trait::async_trait;
use fabric_types::{
    id::{JobId, NodeId},
    job::TaskId,
    work::{Batch, Completion},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// A message to a node.
#[derive(Debug, Clone, PartialEq)]
pub enum ToNode {
    /// Run this batch.
    Run(Arc<Batch>),
    /// Stop this attempt, if it is running.
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
    /// The scheduler acknowledges that the node is draining: it expects nothing more from the node and sends nothing
    /// more.
    Released,
}

/// An attempt as identified in messages from a node.
pub type HeldAttempt = (JobId, TaskId, u32);

/// Maximum time that an attempt continues without a heartbeat of its node accepted by the scheduler. The scheduler
/// counts the attempt as lost after this time, so the node stops it before.
pub const ATTEMPT_LEASE: Duration = Duration::from_secs(15);

/// A message to the scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromNode {
    /// Attempts ended.
    Completed {
        /// The node that ran them.
        node: NodeId,
        /// Their outcome.
        completion: Completion,
    },
    /// The node is alive and still runs its attempts.
    Heartbeat {
        /// The node.
        node: NodeId,
    },
    /// A heartbeat that lists every attempt on the node, so that lost messages are detected.
    HeldAttempts {
        /// The node.
        node: NodeId,
        /// The attempts on the node.
        attempts: Vec<HeldAttempt>,
    },
}

/// The node's end of a lane.
#[async_trait]
pub trait NodeInbox: Send + 'static {
    /// Receives the next message. Returns `None` when the lane is closed. Cancel safe.
    async fn recv(&mut self) -> Option<ToNode>;
}

/// The scheduler's end of all lanes.
#[async_trait]
pub trait SchedulerInbox: Send + 'static {
    /// Receives the next message from any node. Returns `None` when closed. Cancel safe.
    async fn recv(&mut self) -> Option<FromNode>;
}

/// Messages that a lane buffers before a sender waits.
pub const LANE_DEPTH: usize = 1024;

/// Opens lanes and sends on them.
#[async_trait]
pub trait Lanes: Send + Sync + 'static {
    /// Sends a message to a node. Waits while its lane is full.
    ///
    /// # Errors
    /// [`Error::LaneClosed`] if the node has no open lane; [`Error::Backend`].
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error>;

    /// Sends a message to the scheduler. Waits while its inbox is full.
    ///
    /// # Errors
    /// As for [`Self::send`].
    async fn report(&self, message: FromNode) -> Result<(), Error>;

    /// Opens a node's lane. Replaces an older lane of the same node.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn open(&self, node: &NodeId) -> Result<Box<dyn NodeInbox>, Error>;

    /// Opens the scheduler's inbox. Replaces an older inbox.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn open_inbox(&self) -> Result<Box<dyn SchedulerInbox>, Error>;
}
