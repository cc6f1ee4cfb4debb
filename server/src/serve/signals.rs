//! The signals that end a server. They are counted, so that none is lost between two places that wait for them.

use crate::{Error, background::BackgroundTask};
use std::sync::Arc;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// SIGTERM and SIGINT. Clones share the count.
#[derive(Clone)]
pub(super) struct Signals {
    count: watch::Receiver<u32>,
    /// The task that counts.
    _counting: Arc<BackgroundTask>,
}

fn on(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|e| Error::io("waiting for signals", e))
}

impl Signals {
    /// Starts to count. Before this call, a signal ends the process.
    pub(super) fn listen() -> Result<Self, Error> {
        let (mut interrupt, mut terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        let (sender, count) = watch::channel(0);
        let counting = BackgroundTask::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count, _counting: Arc::new(counting) })
    }

    /// Resolves after the first signal. Cancel safe.
    pub(super) async fn first(&self) {
        self.reach(1).await;
    }

    /// Resolves after the second signal, which requests an immediate stop. Cancel safe.
    pub(super) async fn second(&self) {
        self.reach(2).await;
    }

    async fn reach(&self, wanted: u32) {
        if self.count.clone().wait_for(|count| *count >= wanted).await.is_err() {
            // The task ends only with the runtime.
            std::future::pending::<()>().await;
        }
    }
}
