//! Notices over one NATS subject. Notices of this process reach its own subscribers directly, in order and even while
//! NATS is disconnected; their echo from NATS is dropped.

use crate::{
    Error,
    envelope::{self, Kind},
    link::Link,
    tasks::Keep,
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::notice::Notices;
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

/// Notices that a subscriber may lag behind before it misses some.
const DEPTH: usize = 1024;
/// Maximum length of a topic in bytes.
const LONGEST: usize = 4096;
/// The subject.
pub(crate) const SUBJECT: &str = "notice";

pub(crate) struct FleetNotices {
    link: Link,
    sender: broadcast::Sender<Arc<str>>,
    _keep: Arc<Keep>,
}

impl FleetNotices {
    pub(crate) fn new(link: Link, keep: &Arc<Keep>) -> Self {
        Self { link, sender: broadcast::Sender::new(DEPTH), _keep: Arc::clone(keep) }
    }

    /// Returns a task that receives the notices of other processes. It holds only the channel, so that it does not keep
    /// the backend open.
    pub(crate) async fn listen(&self, stop: CancellationToken) -> Result<impl Future<Output = ()> + use<>, Error> {
        let (link, sender) = (self.link.clone(), self.sender.clone());
        let mut heard = link.subscribe("listen to notices", link.subject(SUBJECT)).await?;
        Ok(async move {
            while let Some(Some(message)) = stop.run_until_cancelled(heard.next()).await {
                match parse(&message.payload) {
                    Some((origin, _)) if origin == link.origin => {}
                    // An error means that there are no subscribers.
                    Some((_, topic)) => drop(sender.send(topic.into())),
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
        let _ = self.sender.send(topic.into());
        let payload = envelope::write(Kind::Notice, self.link.origin, &[topic.as_bytes()]);
        self.link.publish("publish a notice", self.link.subject(SUBJECT), payload).await
    }

    fn subscribe(&self, prefix: &str) -> BoxStream<'static, String> {
        let state = (self.sender.subscribe(), prefix.to_owned());
        stream::unfold(state, |(mut receiver, prefix)| async move {
            loop {
                match receiver.recv().await {
                    Ok(topic) if topic.starts_with(&prefix) => {
                        return Some((topic.to_string(), (receiver, prefix)));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}
