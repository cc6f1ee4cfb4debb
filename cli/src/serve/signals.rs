//! The signals that end a server. They are counted, so that none is lost between two places that wait for them.

use crate::failure::Failure;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// SIGTERM and SIGINT. Clones share the count.
#[derive(Clone)]
pub(super) struct Signals(watch::Receiver<u32>);

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::io("waiting for signals", e))
}

impl Signals {
    /// Starts to count. Before this call, a signal ends the process.
    pub(super) fn listen() -> Result<Self, Failure> {
        let (mut interrupt, mut terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        let (tell, told) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                tell.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(told))
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
        if self.0.clone().wait_for(|count| *count >= wanted).await.is_err() {
            // The counting task has ended with the runtime.
            std::future::pending::<()>().await;
        }
    }
}
