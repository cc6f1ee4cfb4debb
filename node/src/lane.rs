//! Receives messages from the node's lane and splits batches into chunks for the guest threads.

use crate::api::NodeState;
use fabric_backend::{
    lane::{NodeInbox, ToNode},
    results::ResultRecord,
};
use fabric_types::{
    digest::TaskKey,
    id::JobId,
    job::TaskId,
    work::{Batch, OutputRef},
};
use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Maximum number of tasks that a guest thread takes at once: enough to amortise the cost of taking them, few enough to
/// share the work.
const MAX_CHUNK: usize = 32;

/// A batch on this node.
pub struct Running {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Cached results, by the position of their task.
    pub found: Vec<Option<(OutputRef, ResultRecord)>>,
    /// Stops the whole batch.
    pub stop: CancellationToken,
    tokens: Box<[OnceLock<CancellationToken>]>,
    left: AtomicUsize,
}

impl Running {
    /// Returns the token that stops the task at `at`.
    pub fn token(&self, at: usize) -> CancellationToken {
        match self.tokens.get(at) {
            Some(token) => token.get_or_init(|| self.stop.child_token()).clone(),
            None => self.stop.clone(),
        }
    }

    /// Counts one task as finished.
    pub fn over(&self) {
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// Some tasks of a batch.
pub struct Chunk {
    /// The batch.
    pub running: Arc<Running>,
    /// Positions of the tasks in the batch.
    pub tasks: Range<usize>,
}

/// The queue of work for the guest threads.
pub type Chunks = mpsc::Sender<Chunk>;

fn abort(running: &HashMap<JobId, Vec<Arc<Running>>>, job: &JobId, task: TaskId, attempt: u32) {
    for batch in running.get(job).into_iter().flatten() {
        let at = batch.batch.tasks.iter().position(|a| a.task == task && a.attempt == attempt);
        if let Some(at) = at {
            batch.token(at).cancel();
        }
    }
}

async fn begin(shared: &NodeState, batch: Arc<Batch>) -> Arc<Running> {
    let count = batch.tasks.len();
    let mut found = Vec::new();
    if batch.cache {
        let adapter = shared.host.gpu().adapter(&batch.deployment).await;
        let key = |key: TaskKey| adapter.as_ref().map_or(key, |adapter| key.on_adapter(adapter));
        let keys: Vec<_> = batch.tasks.iter().map(|task| key(task.key)).collect();
        match shared.results.find(&batch.tenant, &keys).await {
            Ok(results) => found = results,
            // Running a task again is correct, only more expensive.
            Err(error) => tracing::warn!(%error, "failed to look up cached results"),
        }
    }
    found.resize(count, None);
    Arc::new(Running {
        batch,
        found,
        stop: CancellationToken::new(),
        tokens: (0..count).map(|_| OnceLock::new()).collect(),
        left: AtomicUsize::new(count),
    })
}

/// Serves the lane until it closes or `stop` is cancelled.
pub async fn run(shared: Arc<NodeState>, mut inbox: Box<dyn NodeInbox>, chunks: Chunks, stop: CancellationToken) {
    let mut running: HashMap<JobId, Vec<Arc<Running>>> = HashMap::new();
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => break,
            () = shared.lapsed.notified() => {
                for batch in running.drain().flat_map(|(_, batches)| batches) {
                    batch.stop.cancel();
                }
                continue;
            }
            message = inbox.recv() => message,
        };
        match message {
            None => {
                // The node receives no more work and must not appear to accept any.
                if !stop.is_cancelled() {
                    tracing::error!(node = %shared.id, "the node's lane is closed");
                    shared.lane_closed.cancel();
                }
                break;
            }
            Some(ToNode::Abort { job, task, attempt }) => abort(&running, &job, task, attempt),
            Some(ToNode::AbortJob { job }) => {
                for batch in running.remove(&job).into_iter().flatten() {
                    batch.stop.cancel();
                }
            }
            Some(ToNode::Released) => shared.released.notify_one(),
            Some(ToNode::Run(batch)) => {
                shared.holding.take(&batch);
                let begun = begin(&shared, batch).await;
                let count = begun.batch.tasks.len();
                let of_job = running.entry(begun.batch.job.clone()).or_default();
                of_job.retain(|b| !b.is_over());
                of_job.push(begun.clone());
                if running.len() > 64 {
                    running.retain(|_, batches| {
                        batches.retain(|b| !b.is_over());
                        !batches.is_empty()
                    });
                }
                shared.metrics.queued_tasks.inc_by(i64::try_from(count).unwrap_or(0));
                let size = (count / (shared.slots.max(1) as usize * 2)).clamp(1, MAX_CHUNK);
                let mut from = 0;
                while from < count {
                    let tasks = from..(from + size).min(count);
                    from = tasks.end;
                    if chunks.send(Chunk { running: begun.clone(), tasks }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
    for batch in running.into_values().flatten() {
        batch.stop.cancel();
    }
}
