//! Notices as an in-process broadcast channel.

use async_trait::async_trait;
use fabric_backend::{Error, in_process::NoticeChannel, notice::Notices};
use futures::stream::BoxStream;

#[derive(Default)]
pub(super) struct LocalNotices {
    channel: NoticeChannel,
}

#[async_trait]
impl Notices for LocalNotices {
    async fn publish(&self, topic: &str) -> Result<(), Error> {
        self.channel.publish(topic);
        Ok(())
    }

    fn subscribe(&self, prefix: &str) -> BoxStream<'static, String> {
        self.channel.subscribe(prefix)
    }
}
