//! Takes messages off the node's lane and turns batches into chunks for the guest threads.

use crate::api::Shared;
use fabric_engine::{
    lane::{Inbox, ToNode},
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

/// Tasks that one guest thread takes at once, at most: enough to spread the cost of taking, few enough to share.
const MAX_CHUNK: usize = 32;

/// A batch on this node.
pub struct Running {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Results that were there already, by the place of their task.
    pub found: Vec<Option<(OutputRef, ResultRecord)>>,
    /// Stops all of it.
    pub stop: CancellationToken,
    tokens: Box<[OnceLock<CancellationToken>]>,
    left: AtomicUsize,
}

impl Running {
    /// What stops the task at `at`.
    pub fn token(&self, at: usize) -> CancellationToken {
        match self.tokens.get(at) {
            Some(token) => token.get_or_init(|| self.stop.child_token()).clone(),
            None => self.stop.clone(),
        }
    }

    /// Notes that the task at `at` needs no more.
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
    /// Which of its tasks.
    pub tasks: Range<usize>,
}

/// Where guest threads find work.
pub type Chunks = mpsc::Sender<Chunk>;

fn abort(running: &HashMap<JobId, Vec<Arc<Running>>>, job: &JobId, task: TaskId, attempt: u32) {
    for batch in running.get(job).into_iter().flatten() {
        let at = batch.batch.tasks.iter().position(|a| a.task == task && a.attempt == attempt);
        if let Some(at) = at {
            batch.token(at).cancel();
        }
    }
}

async fn begin(shared: &Shared, batch: Arc<Batch>) -> Arc<Running> {
    let count = batch.tasks.len();
    let mut found = Vec::new();
    if batch.cache {
        let adapter = shared.host.gpu().adapter(&batch.deployment).await;
        let key = |key: TaskKey| adapter.as_ref().map_or(key, |adapter| key.on_adapter(adapter));
        let keys: Vec<_> = batch.tasks.iter().map(|task| key(task.key)).collect();
        match shared.results.find(&batch.tenant, &keys).await {
            Ok(results) => found = results,
            // Running a task again is always right; only dearer.
            Err(error) => tracing::warn!(%error, "the results could not be looked up"),
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

/// Serves the lane until it closes or `stop`.
pub async fn run(shared: Arc<Shared>, mut inbox: Box<dyn Inbox>, chunks: Chunks, stop: CancellationToken) {
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
                // Nothing is sent here any more: the node must not look as if it took work.
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
