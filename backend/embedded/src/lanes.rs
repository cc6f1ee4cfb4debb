//! Lanes as bounded in-process channels.

use async_trait::async_trait;
use fabric_backend::{
    Error,
    in_process::{SCHEDULER, lane_queue},
    lane::{FromNode, Lanes, NodeInbox, SchedulerInbox, ToNode},
};
use fabric_types::id::NodeId;
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::mpsc;

#[derive(Default)]
pub(super) struct LocalLanes {
    nodes: Mutex<HashMap<NodeId, mpsc::Sender<ToNode>>>,
    scheduler: Mutex<Option<mpsc::Sender<FromNode>>>,
}

#[async_trait]
impl Lanes for LocalLanes {
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error> {
        let closed = || Error::LaneClosed { node: node.to_string() };
        let lane = self.nodes.lock().get(node).cloned().ok_or_else(closed)?;
        if lane.send(message).await.is_err() {
            // The node dropped its end. A newer lane of the same node stays.
            let mut nodes = self.nodes.lock();
            if nodes.get(node).is_some_and(|current| current.same_channel(&lane)) {
                nodes.remove(node);
            }
            return Err(closed());
        }
        Ok(())
    }

    async fn report(&self, message: FromNode) -> Result<(), Error> {
        let closed = || Error::LaneClosed { node: SCHEDULER.to_owned() };
        let inbox = self.scheduler.lock().clone().ok_or_else(closed)?;
        inbox.send(message).await.map_err(|_| closed())
    }

    async fn open(&self, node: &NodeId) -> Result<Box<dyn NodeInbox>, Error> {
        let (sender, inbox) = lane_queue();
        self.nodes.lock().insert(node.clone(), sender);
        Ok(Box::new(inbox))
    }

    async fn open_inbox(&self) -> Result<Box<dyn SchedulerInbox>, Error> {
        let (sender, inbox) = lane_queue();
        *self.scheduler.lock() = Some(sender);
        Ok(Box::new(inbox))
    }
}
