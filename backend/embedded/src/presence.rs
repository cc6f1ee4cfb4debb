//! Presence in memory.

use async_trait::async_trait;
use fabric_backend::{
    Error,
    in_process::PresenceTable,
    presence::{Presence, PresenceChange},
};
use fabric_types::{id::NodeId, node::NodeFacts};
use futures::stream::BoxStream;
use std::time::Duration;

pub(super) struct LocalPresence {
    table: PresenceTable,
}

impl LocalPresence {
    pub(super) fn new() -> Self {
        // All announcements come from this process, which is never disconnected from itself.
        Self { table: PresenceTable::new(0, Duration::ZERO) }
    }
}

#[async_trait]
impl Presence for LocalPresence {
    async fn announce(&self, node: NodeFacts, ttl: Duration) -> Result<(), Error> {
        self.table.announce(node, ttl);
        Ok(())
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        self.table.leave(node);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<NodeFacts>, Error> {
        Ok(self.table.list())
    }

    fn watch(&self) -> BoxStream<'static, PresenceChange> {
        self.table.watch()
    }
}
