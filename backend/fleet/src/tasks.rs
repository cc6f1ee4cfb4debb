//! The background tasks of one opened fleet. They are tracked, and stop when the backend is dropped.

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// A guard that keeps the tasks running.
#[derive(Debug)]
pub(crate) struct TaskGuard {
    _stop: DropGuard,
}

/// Spawns tasks. Cheap to clone; a clone does not keep the tasks running.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let tracker = TaskTracker::new();
        // A tracker must be closed for waits on it to finish. Tasks can still be spawned.
        tracker.close();
        Self { tracker, stop: CancellationToken::new() }
    }

    /// Returns a guard that stops every task when the last one is dropped. Every backend with tasks holds it.
    pub(crate) fn guard(&self) -> TaskGuard {
        TaskGuard { _stop: self.stop.clone().drop_guard() }
    }

    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Spawns a task. The task must end soon after [`Self::stop`] is cancelled.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }
}
