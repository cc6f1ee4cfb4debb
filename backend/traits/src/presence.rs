//! Presence: the live nodes and the facts they announce. An announcement is valid for a limited time.

use crate::Error;
use async_trait::async_trait;
use fabric_types::node::NodeFacts;
use futures::stream::BoxStream;
use std::time::Duration;

/// A change of a node's presence.
#[derive(Debug, Clone, PartialEq)]
// Values are passed one at a time, so boxing the variant would save nothing.
#[allow(clippy::large_enum_variant)]
pub enum PresenceChange {
    /// The node is present and announced these facts.
    Present(NodeFacts),
    /// The node left, or its announcement expired.
    Absent(fabric_types::id::NodeId),
}

/// Registration and listing of live nodes.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Announces `node` as present for `ttl` from now. Callers repeat this well within `ttl`. Has no effect while an
    /// announcement of the same name with a higher epoch is valid.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn announce(&self, node: NodeFacts, ttl: Duration) -> Result<(), Error>;

    /// Removes the announcement of `node`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn leave(&self, node: &fabric_types::id::NodeId) -> Result<(), Error>;

    /// Returns the present nodes, sorted by name.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn list(&self) -> Result<Vec<NodeFacts>, Error>;

    /// Returns a stream of all present nodes, followed by every change. A slow watcher receives only the newest change
    /// of each node. Ends when the backend closes.
    fn watch(&self) -> BoxStream<'static, PresenceChange>;
}
