//! The signals that end a server, counted from one moment on: none is lost between two places that wait for them.

use crate::failure::Failure;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// SIGTERM and SIGINT. Cloning shares the count.
#[derive(Clone)]
pub(super) struct Signals(watch::Receiver<u32>);

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::io("waiting for signals", e))
}

impl Signals {
    /// Counts from now on; until then a signal ends the process by itself.
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

    /// Resolves once the process was told to end. Cancel safe.
    pub(super) async fn first(&self) {
        self.reach(1).await;
    }

    /// Resolves once it was told so again, and is to end at once. Cancel safe.
    pub(super) async fn second(&self) {
        self.reach(2).await;
    }

    async fn reach(&self, wanted: u32) {
        if self.0.clone().wait_for(|count| *count >= wanted).await.is_err() {
            // Nobody counts any more: the runtime is ending.
            std::future::pending::<()>().await;
        }
    }
}
