//! Commits the results of guest threads in batches, and reports each task after its result is durable.

use crate::api::NodeState;
use fabric_backend::lane::FromNode;
use fabric_results::{Committed, NewResult};
use fabric_types::{
    Code, Cost, Fault,
    id::TenantId,
    job::{StageKind, TaskId},
    work::{AttemptOutcome, Batch, Completion, Done},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Pieces that the committer's queue holds before guest threads wait.
pub const PIECES: usize = 1024;
/// Approximate maximum number of results per commit.
const TOGETHER: usize = 2048;
/// Maximum time that a commit waits for more results while tasks wait for a thread. A commit costs a flush to disk and,
/// since keys are random, about one page per result if it is small; a large commit costs a third per result.
const HOLD: Duration = Duration::from_millis(20);

/// Maximum time that results of jobs wait for disk space, and the delay between attempts.
const DISK_PATIENCE: Duration = Duration::from_secs(120);
const DISK_PAUSE: Duration = Duration::from_secs(2);

/// The end of a task on this node.
pub enum TaskEnd {
    /// Ended without a result to commit.
    Final(AttemptOutcome),
    /// Ended with a result.
    NewResult {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: u32,
        /// The result.
        fresh: NewResult,
        /// Cost of the attempt.
        cost: Cost,
    },
}

/// Ended tasks of one batch.
pub struct Piece {
    /// The batch.
    pub batch: Arc<Batch>,
    /// The tasks.
    pub ended: Vec<TaskEnd>,
}

/// The queue from guest threads to the committer.
pub type Pieces = mpsc::Sender<Piece>;

/// A task with a result that is being committed.
struct Waiting {
    task: TaskId,
    attempt: u32,
    cost: Cost,
}

fn outcome(waiting: &Waiting, committed: Result<Committed, Fault>) -> AttemptOutcome {
    let result =
        committed.map(|c| Done { output: c.output, cost: waiting.cost, cached: false, differs: c.rejected_digest });
    AttemptOutcome { task: waiting.task, attempt: waiting.attempt, result }
}

/// Commits results, and retries those for which the disk is full. A temporarily full disk should not cost attempts, and
/// other results could not be committed either.
async fn commit_patiently(
    shared: &NodeState,
    tenant: &TenantId,
    mut fresh: Vec<NewResult>,
    patience: Duration,
) -> Vec<Result<Committed, Fault>> {
    let began = Instant::now();
    // The index of each element of `fresh` in the returned list.
    let mut places: Vec<usize> = (0..fresh.len()).collect();
    let mut all: Vec<Result<Committed, Fault>> = Vec::new();
    loop {
        let tried = match shared.results.commit_each(tenant, fresh.clone()).await {
            Ok(tried) => tried,
            Err(fault) => vec![Err(fault); fresh.len()],
        };
        if all.is_empty() {
            all = tried;
        } else {
            for (place, committed) in places.iter().zip(tried) {
                if let Some(slot) = all.get_mut(*place) {
                    *slot = committed;
                }
            }
        }
        let full = |at: &usize| matches!(all.get(*at), Some(Err(fault)) if fault.code == Code::DiskFull);
        let left: Vec<bool> = places.iter().map(full).collect();
        if !left.contains(&true) || began.elapsed() >= patience {
            return all;
        }
        let mut keep = left.iter();
        fresh.retain(|_| keep.next().copied().unwrap_or(false));
        let mut keep = left.iter();
        places.retain(|_| keep.next().copied().unwrap_or(false));
        tracing::warn!(%tenant, results = fresh.len(), "disk full, retrying to commit results");
        tokio::time::sleep(DISK_PAUSE).await;
    }
}

/// Commits the results of pieces of one tenant. Returns the outcomes of each piece.
async fn commit(shared: &NodeState, pieces: Vec<Piece>) -> Vec<(Arc<Batch>, Vec<AttemptOutcome>)> {
    let Some(tenant) = pieces.first().map(|p| p.batch.tenant.clone()) else { return Vec::new() };
    let mut fresh = Vec::new();
    let mut waiting = Vec::new();
    let mut reports = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.into_iter().enumerate() {
        let mut over = Vec::new();
        for ended in piece.ended {
            match ended {
                TaskEnd::Final(outcome) => over.push(outcome),
                TaskEnd::NewResult { task, attempt, fresh: result, cost } => {
                    waiting.push((at, Waiting { task, attempt, cost }));
                    fresh.push(result);
                }
            }
        }
        reports.push((piece.batch, over));
    }
    let committed: Vec<Result<Committed, Fault>> = if fresh.is_empty() {
        Vec::new()
    } else {
        let somebody_waits = reports.iter().any(|(batch, _)| batch.stage == StageKind::Invoke);
        let patience = if somebody_waits { Duration::ZERO } else { DISK_PATIENCE };
        commit_patiently(shared, &tenant, fresh, patience).await
    };
    for ((at, waiting), committed) in waiting.iter().zip(committed) {
        if let Some((_, outcomes)) = reports.get_mut(*at) {
            outcomes.push(outcome(waiting, committed));
        }
    }
    reports
}

/// Returns `true` if a commit of this piece may wait for more results. A client waits for the single task of an
/// invocation, and a piece without results gains nothing.
fn may_wait(piece: &Piece) -> bool {
    piece.batch.stage != StageKind::Invoke && piece.ended.iter().any(|e| matches!(e, TaskEnd::NewResult { .. }))
}

/// Commits and reports until every guest thread has ended.
pub async fn run(shared: Arc<NodeState>, mut pieces: mpsc::Receiver<Piece>) {
    let mut next: Option<Piece> = None;
    loop {
        let first = match next.take() {
            Some(piece) => piece,
            None => match pieces.recv().await {
                Some(piece) => piece,
                None => return,
            },
        };
        if may_wait(&first) && shared.metrics.queued_tasks.get() > 0 {
            // An early wake-up only makes the commit smaller.
            let _ = tokio::time::timeout(HOLD, shared.drained.notified()).await;
        }
        let mut count = first.ended.len();
        let mut together = vec![first];
        // Pieces that have arrived in the meantime share one commit, as long as they belong to the same tenant.
        while count < TOGETHER {
            match pieces.try_recv() {
                Ok(piece) if together.first().is_some_and(|p| p.batch.tenant == piece.batch.tenant) => {
                    count += piece.ended.len();
                    together.push(piece);
                }
                Ok(piece) => {
                    next = Some(piece);
                    break;
                }
                Err(_) => break,
            }
        }
        for (batch, outcomes) in commit(&shared, together).await {
            let ended: Vec<_> = outcomes.iter().map(|o| (o.task, o.attempt)).collect();
            let completion = Completion { tenant: batch.tenant.clone(), job: batch.job.clone(), outcomes };
            let report = FromNode::Completed { node: shared.id.clone(), completion };
            if let Err(error) = shared.backend.lanes.report(report).await {
                // The next heartbeat shows the owner that the attempts have ended, and their results are already
                // committed.
                tracing::warn!(%error, "failed to report completed tasks");
            }
            shared.holding.ended(&batch.job, ended);
        }
    }
}
