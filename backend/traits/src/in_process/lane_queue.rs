//! The receiving end of a lane: a bounded queue in this process.

use crate::lane::{FromNode, LANE_DEPTH, NodeInbox, SchedulerInbox, ToNode};
use async_trait::async_trait;
use tokio::sync::mpsc;

/// The name of the scheduler's inbox in [`crate::Error::LaneClosed`].
pub const SCHEDULER: &str = "scheduler";

/// The receiving end of a lane. It is closed when every sender of its queue is dropped.
#[derive(Debug)]
pub struct LaneInbox<T>(mpsc::Receiver<T>);

/// Creates a queue of [`LANE_DEPTH`] messages.
#[must_use]
pub fn lane_queue<T>() -> (mpsc::Sender<T>, LaneInbox<T>) {
    let (sender, receiver) = mpsc::channel(LANE_DEPTH);
    (sender, LaneInbox(receiver))
}

#[async_trait]
impl NodeInbox for LaneInbox<ToNode> {
    async fn recv(&mut self) -> Option<ToNode> {
        self.0.recv().await
    }
}

#[async_trait]
impl SchedulerInbox for LaneInbox<FromNode> {
    async fn recv(&mut self) -> Option<FromNode> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn an_inbox_is_bounded_and_ends_after_its_senders() {
        let (sender, mut inbox) = lane_queue();
        for _ in 0..LANE_DEPTH {
            sender.try_send(ToNode::Released).unwrap();
        }
        assert!(sender.try_send(ToNode::Released).is_err());
        assert_eq!(inbox.recv().await, Some(ToNode::Released));
        sender.try_send(ToNode::Released).unwrap();
        drop(sender);
        for _ in 0..LANE_DEPTH {
            assert_eq!(inbox.recv().await, Some(ToNode::Released));
        }
        assert_eq!(inbox.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_receive_loses_nothing() {
        let (sender, mut inbox) = lane_queue::<ToNode>();
        assert!(inbox.recv().now_or_never().is_none());
        sender.send(ToNode::Released).await.unwrap();
        assert_eq!(inbox.recv().await, Some(ToNode::Released));
        drop(inbox);
        assert!(sender.is_closed());
    }
}
