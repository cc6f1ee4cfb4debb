//! Rebuilds the state of a job from its records.

use super::record::JobRecord;
use crate::job::{JobKind, OpenJob, Planned};
use std::sync::Arc;

/// Rebuilds a job from its records; `None` if the journal ends before acceptance was complete.
#[must_use]
pub fn replay(records: Vec<JobRecord>) -> Option<OpenJob> {
    let len = records.len() as u64;
    let mut records = records.into_iter().peekable();
    let Some(JobRecord::Accepted(meta)) = records.next() else { return None };
    let mut partitions = Vec::new();
    while let Some(JobRecord::Partitions(more)) = records.next_if(|r| matches!(r, JobRecord::Partitions(_))) {
        partitions.extend(more);
    }
    let wanted = if matches!(meta.kind, JobKind::Invoke { .. }) { 0 } else { meta.map_tasks as usize };
    if partitions.len() != wanted {
        return None;
    }
    let mut open_job = OpenJob::new(Planned { meta: Arc::new(*meta), partitions: partitions.into() });
    for record in records {
        match record {
            JobRecord::Accepted(_) | JobRecord::Partitions(_) => {}
            JobRecord::Started(at_ms) => open_job.started_ms = open_job.started_ms.or(Some(at_ms)),
            JobRecord::Done(done) => open_job.apply_done(&done),
            JobRecord::Failed(failed) => open_job.apply_failed(failed),
            JobRecord::Dead(dead) => drop(open_job.dead.insert(dead.task, dead)),
            JobRecord::CancelRequested => open_job.cancel_requested = true,
            JobRecord::Ended(ended) => open_job.ended = Some(ended),
            JobRecord::Binned(binned) => open_job.binned = binned,
            JobRecord::Owned(epoch) => open_job.epoch = open_job.epoch.max(epoch),
        }
    }
    open_job.journal_len = len;
    Some(open_job)
}
