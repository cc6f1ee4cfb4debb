//! Notices: change notifications without payload. A lost or repeated notice is harmless, since every subscriber also
//! polls periodically.

use crate::Error;
use async_trait::async_trait;
use futures::stream::BoxStream;

/// Best-effort notifications by topic.
#[async_trait]
pub trait Notices: Send + Sync + 'static {
    /// Notifies the subscribers of `topic`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn publish(&self, topic: &str) -> Result<(), Error>;

    /// Returns the topics published from now on that begin with `prefix`. A slow subscriber misses some of them.
    fn subscribe(&self, prefix: &str) -> BoxStream<'static, String>;
}
