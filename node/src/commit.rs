//! Commits what the guest threads give, many results at a time, and reports each task after its result is durable.

use crate::api::Shared;
use fabric_engine::lane::FromNode;
use fabric_results::{Committed, Fresh};
use fabric_types::{
    Code, Fault,
    id::TenantId,
    job::{StageKind, TaskId},
    work::{Batch, Completion, Done, Outcome},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Pieces that may wait for the committer before guest threads have to.
pub const PIECES: usize = 1024;
/// Results that go into one commit, about.
const TOGETHER: usize = 2048;
/// How long a commit waits for more results while tasks still wait for a thread. A commit costs a flush to disk and, keys
/// being random, a page for nearly every result of a small one: many results in one cost a third.
const HOLD: Duration = Duration::from_millis(20);

/// How long results of jobs wait for room on the disk, and the pause between two tries.
const DISK_PATIENCE: Duration = Duration::from_secs(120);
const DISK_PAUSE: Duration = Duration::from_secs(2);

/// How a task ended on this node.
pub enum Ended {
    /// It needs no commit.
    Over(Outcome),
    /// It gave a result.
    Fresh {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        attempt: u32,
        /// Its result.
        fresh: Fresh,
        /// Wall clock of the call.
        wall_us: u64,
        /// Device time of its GPU work.
        gpu_us: u64,
        /// Input read.
        bytes_in: u64,
    },
}

/// Tasks of one batch that ended.
pub struct Piece {
    /// The batch.
    pub batch: Arc<Batch>,
    /// The tasks.
    pub ended: Vec<Ended>,
}

/// Where guest threads put what they have.
pub type Pieces = mpsc::Sender<Piece>;

/// A task whose result is being committed.
struct Waiting {
    task: TaskId,
    attempt: u32,
    fuel: u64,
    wall_us: u64,
    gpu_us: u64,
    bytes_in: u64,
}

fn outcome(waiting: &Waiting, committed: Result<Committed, Fault>) -> Outcome {
    let result = committed.map(|c| Done {
        output: c.output,
        fuel: waiting.fuel,
        wall_us: waiting.wall_us,
        gpu_us: waiting.gpu_us,
        bytes_in: waiting.bytes_in,
        cached: false,
        differs: c.differs,
    });
    Outcome { task: waiting.task, attempt: waiting.attempt, result }
}

/// Commits results. Those for which the disk has no room are tried again: what fills a disk for a while should cost no
/// attempt, and no other result could be committed meanwhile either.
async fn commit_patiently(
    shared: &Shared,
    tenant: &TenantId,
    mut fresh: Vec<Fresh>,
    patience: Duration,
) -> Vec<Result<Committed, Fault>> {
    let began = Instant::now();
    // Where each of `fresh` belongs in what is given.
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
        tracing::warn!(%tenant, results = fresh.len(), "the disk is full; results wait for room");
        tokio::time::sleep(DISK_PAUSE).await;
    }
}

/// Commits the results of pieces of one tenant; gives the outcomes of each piece.
async fn commit(shared: &Shared, pieces: Vec<Piece>) -> Vec<(Arc<Batch>, Vec<Outcome>)> {
    let Some(tenant) = pieces.first().map(|p| p.batch.tenant.clone()) else { return Vec::new() };
    let mut fresh = Vec::new();
    let mut waiting = Vec::new();
    let mut reports = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.into_iter().enumerate() {
        let mut over = Vec::new();
        for ended in piece.ended {
            match ended {
                Ended::Over(outcome) => over.push(outcome),
                Ended::Fresh { task, attempt, fresh: result, wall_us, gpu_us, bytes_in } => {
                    waiting.push((at, Waiting { task, attempt, fuel: result.fuel, wall_us, gpu_us, bytes_in }));
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

/// Whether a commit of this may wait for more. Somebody waits for the one task of an invocation, and what needs no commit
/// gains nothing.
fn may_wait(piece: &Piece) -> bool {
    piece.batch.stage != StageKind::Invoke && piece.ended.iter().any(|e| matches!(e, Ended::Fresh { .. }))
}

/// Commits and reports until every guest thread is gone.
pub async fn run(shared: Arc<Shared>, mut pieces: mpsc::Receiver<Piece>) {
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
            // An early wake-up only makes a smaller commit.
            let _ = tokio::time::timeout(HOLD, shared.drained.notified()).await;
        }
        let mut count = first.ended.len();
        let mut together = vec![first];
        // Whatever has come meanwhile shares one commit, as long as it is the same tenant's.
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
            if let Err(error) = shared.engine.lanes.report(report).await {
                // The owner hears that they are not held any more, and the results are there already.
                tracing::warn!(%error, "a report was lost");
            }
            shared.holding.ended(&batch.job, ended);
        }
    }
}
