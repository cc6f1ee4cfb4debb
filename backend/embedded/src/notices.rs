//! Notices as an in-process broadcast channel.

use async_trait::async_trait;
use fabric_backend::{Error, notice::Notices};
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// Notices that a subscriber may lag behind before it misses some.
const DEPTH: usize = 1024;

pub(super) struct LocalNotices {
    sender: broadcast::Sender<Arc<str>>,
}

impl LocalNotices {
    pub(super) fn new() -> Self {
        Self { sender: broadcast::Sender::new(DEPTH) }
    }
}

#[async_trait]
impl Notices for LocalNotices {
    async fn publish(&self, topic: &str) -> Result<(), Error> {
        // An error means that there are no subscribers.
        let _ = self.sender.send(topic.into());
        Ok(())
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
