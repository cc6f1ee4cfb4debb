//! The background tasks of one opened fleet: tracked, and told to stop when the engine is dropped.

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Keeps the tasks running.
#[derive(Debug)]
pub(crate) struct Keep {
    _stop: DropGuard,
}

/// Where tasks are started. Cloning is cheap; no clone keeps the tasks alive.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let tracker = TaskTracker::new();
        // Closed from the start: it only means that waiting for it may end.
        tracker.close();
        Self { tracker, stop: CancellationToken::new() }
    }

    /// Stops every task when it is dropped. Every backend that has tasks holds it.
    pub(crate) fn guard(&self) -> Keep {
        Keep { _stop: self.stop.clone().drop_guard() }
    }

    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Starts a task. It must end soon after [`Self::stop`] is cancelled.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }
}
