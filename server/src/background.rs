//! Tasks that run beside a server's main task, and end with their owner.

use std::future::Future;
use tokio_util::task::AbortOnDropHandle;

/// A task in the background. It is cancelled when this value is dropped.
#[derive(Debug)]
pub(crate) struct BackgroundTask(AbortOnDropHandle<()>);

impl BackgroundTask {
    /// Starts a task on the current runtime.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(task)))
    }

    /// Cancels the task and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.0.abort();
        if let Err(error) = self.0.await
            && error.is_panic()
        {
            tracing::error!(%error, "a background task panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// Starts a task that never ends. The receiver fails once the task has been dropped.
    async fn endless() -> (BackgroundTask, oneshot::Receiver<()>) {
        let (running, started) = oneshot::channel();
        let (held, dropped) = oneshot::channel::<()>();
        let task = BackgroundTask::spawn(async move {
            let _held = held;
            running.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        started.await.unwrap();
        (task, dropped)
    }

    #[tokio::test]
    async fn a_background_task_ends_with_its_owner() {
        let (task, mut dropped) = endless().await;
        task.stop().await;
        assert!(dropped.try_recv().is_err(), "the task has ended when `stop` returns");
        let (task, dropped) = endless().await;
        drop(task);
        assert!(dropped.await.is_err());
    }
}
