//! Notices: something changed, look. Lost or repeated notices do no harm, since every listener also looks by itself now and then.

use crate::Error;
use async_trait::async_trait;
use futures::stream::BoxStream;

/// Small messages by topic, best effort.
#[async_trait]
pub trait Notices: Send + Sync + 'static {
    /// Tells whoever listens to `topic`.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn publish(&self, topic: &str) -> Result<(), Error>;

    /// Topics published from now on that begin with `prefix`. A slow listener misses some.
    fn subscribe(&self, prefix: &str) -> BoxStream<'static, String>;
}
