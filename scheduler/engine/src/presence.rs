//! Presence: who is here, known for as long as they say so.

use crate::Error;
use async_trait::async_trait;
use fabric_types::rest::node::Node;
use futures::stream::BoxStream;
use std::time::Duration;

/// A node came, changed or went.
#[derive(Debug, Clone, PartialEq)]
// Arrivals pass one at a time; a box for each would save nothing.
#[allow(clippy::large_enum_variant)]
pub enum Arrival {
    /// It is here, with these facts.
    Here(Node),
    /// It said good-bye or fell silent.
    Gone(fabric_types::id::NodeId),
}

/// The nodes that are here.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Says that `node` is here for `ttl` from now. Repeat well within it.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn announce(&self, node: Node, ttl: Duration) -> Result<(), Error>;

    /// Says good-bye.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn leave(&self, node: &fabric_types::id::NodeId) -> Result<(), Error>;

    /// Who is here now, by name.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn list(&self) -> Result<Vec<Node>, Error>;

    /// Everyone who is here now, then every change.
    fn watch(&self) -> BoxStream<'static, Arrival>;
}
