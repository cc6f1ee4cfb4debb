//! Notices over one NATS subject. Notices of this process reach its own subscribers directly, in order and even while
//! NATS is disconnected; their echo from NATS is dropped.

use crate::{
    Error,
    envelope::{self, Kind},
    link::Link,
    tasks::TaskGuard,
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{in_process::NoticeChannel, notice::Notices};
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Maximum length of a topic in bytes.
const LONGEST: usize = 4096;
/// The subject.
pub(crate) const SUBJECT: &str = "notice";

pub(crate) struct FleetNotices {
    link: Link,
    channel: NoticeChannel,
    _guard: Arc<TaskGuard>,
}

impl FleetNotices {
    pub(crate) fn new(link: Link, guard: &Arc<TaskGuard>) -> Self {
        Self { link, channel: NoticeChannel::default(), _guard: Arc::clone(guard) }
    }

    /// Returns a task that receives the notices of other processes. It holds only the channel, so that it does not keep
    /// the backend open.
    pub(crate) async fn listen(&self, stop: CancellationToken) -> Result<impl Future<Output = ()> + use<>, Error> {
        let (link, channel) = (self.link.clone(), self.channel.clone());
        let mut subscription = link.subscribe("listen to notices", link.subject(SUBJECT)).await?;
        Ok(async move {
            while let Some(Some(message)) = stop.run_until_cancelled(subscription.next()).await {
                match parse(&message.payload) {
                    Some((origin, _)) if origin == link.origin => {}
                    Some((_, topic)) => channel.publish(topic),
                    None => link.ignore(SUBJECT, "not a topic"),
                }
            }
        })
    }
}

fn parse(payload: &Bytes) -> Option<(u64, &str)> {
    let (origin, topic) = envelope::read(Kind::Notice, payload)?;
    (topic.len() <= LONGEST).then_some((origin, std::str::from_utf8(topic).ok()?))
}

#[async_trait]
impl Notices for FleetNotices {
    async fn publish(&self, topic: &str) -> Result<(), Error> {
        if topic.len() > LONGEST {
            return Err(Error::Backend {
                backend: "nats",
                context: "publish a notice".to_owned(),
                source: format!("the topic has {} bytes, at most {LONGEST}", topic.len()).into(),
                retryable: false,
            });
        }
        self.channel.publish(topic);
        let payload = envelope::write(Kind::Notice, self.link.origin, &[topic.as_bytes()]);
        self.link.publish("publish a notice", self.link.subject(SUBJECT), payload).await
    }

    fn subscribe(&self, prefix: &str) -> BoxStream<'static, String> {
        self.channel.subscribe(prefix)
    }
}
