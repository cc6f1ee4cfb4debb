//! The subscribers to notices in this process.

use futures::{StreamExt as _, stream, stream::BoxStream};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// Notices that a subscriber may lag behind before it misses some.
const DEPTH: usize = 1024;

/// A channel of topics. Clones share it; subscriptions end when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct NoticeChannel {
    sender: broadcast::Sender<Arc<str>>,
}

impl Default for NoticeChannel {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(DEPTH) }
    }
}

impl NoticeChannel {
    /// Sends a topic to all subscribers.
    pub fn publish(&self, topic: &str) {
        // An error means that there are no subscribers.
        let _ = self.sender.send(topic.into());
    }

    /// Returns the topics published from now on that begin with `prefix`. A slow subscriber misses the oldest ones.
    #[must_use]
    pub fn subscribe(&self, prefix: &str) -> BoxStream<'static, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_lags_misses_the_oldest_and_ends_with_the_channel() {
        let channel = NoticeChannel::default();
        let mut notices = channel.subscribe("a/");
        channel.publish("b/1");
        for n in 0..=DEPTH {
            channel.publish(&format!("a/{n}"));
        }
        drop(channel);
        assert_eq!(notices.next().await.as_deref(), Some("a/1"));
        assert_eq!(notices.by_ref().count().await, DEPTH - 1);
    }
}
