//! Turns the core's index-based dispatches into batches for nodes, with inputs and keys.

use crate::job::{JobKind, OpenJob};
use fabric_scheduler_core::{Time, plan};
use fabric_types::{
    job::{StageKind, TaskId},
    work::{Assignment, Batch, OutputRef, TaskInput},
};
use std::sync::Arc;

/// Maximum tasks in one message to a node.
const MAX_BATCH: usize = 256;

/// Dispatches of one job to one node, in the core's order: the task and its attempt.
pub type Picks = Vec<(TaskId, u32)>;

fn outputs(open_job: &OpenJob, stage: u16, range: std::ops::Range<u32>) -> Option<Arc<[OutputRef]>> {
    let tasks = &open_job.stages.get(usize::from(stage))?.tasks;
    // Dead-lettered tasks are left out.
    let mut wanted = range.map(|index| TaskId { stage, index }).filter(|id| !open_job.has_no_result(*id));
    wanted
        .try_fold(Vec::new(), |mut found, id| {
            found.push(tasks.get(id.index as usize)?.done.as_ref()?.output);
            Some(found)
        })
        .map(Arc::from)
}

/// Returns the input of a task; `None` if a result is missing, which the core's order of dispatches rules out.
fn input(open_job: &OpenJob, kind: StageKind, id: TaskId, sources: &mut Option<Arc<[OutputRef]>>) -> Option<TaskInput> {
    let meta = &open_job.planned.meta;
    match kind {
        StageKind::Map => open_job.planned.partitions.get(id.index as usize).cloned().map(TaskInput::Partition),
        StageKind::Invoke => match &meta.kind {
            JobKind::Invoke { body, content_type } => {
                Some(TaskInput::Body { body: *body, content_type: content_type.clone() })
            }
            _ => None,
        },
        StageKind::Reduce => {
            let range = plan::inputs(&meta.plan(Time(0)), id);
            outputs(open_job, id.stage.checked_sub(1)?, range).map(TaskInput::Partials)
        }
        StageKind::KeyedReduce => {
            if sources.is_none() {
                *sources = outputs(open_job, 0, 0..meta.map_tasks);
            }
            sources.clone().map(|sources| TaskInput::Bucket { bucket: id.index, sources })
        }
    }
}

/// Builds the batches for one node. Records each attempt in `open_job`.
pub fn batches(open_job: &mut OpenJob, picks: &[(TaskId, u32)], sources: &mut Option<Arc<[OutputRef]>>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for &(task, attempt) in picks {
        let Some(kind) = open_job.stages.get(usize::from(task.stage)).map(|s| s.kind) else { continue };
        let Some(input) = input(open_job, kind, task, sources) else {
            tracing::error!(job_id = %open_job.id(), %task, "task dispatched before its inputs");
            continue;
        };
        let Some(stage) = open_job.stages.get(usize::from(task.stage)) else { continue };
        let key = stage.keyer.key(task, &input);
        if let Some(note) = open_job.task_mut(task) {
            note.attempts = note.attempts.max(attempt);
        }
        let assignment = Assignment { task, attempt, key, input };
        match batches.last_mut() {
            Some(batch) if batch.stage == kind && batch.tasks.len() < MAX_BATCH => batch.tasks.push(assignment),
            _ => {
                let meta = &open_job.planned.meta;
                batches.push(Batch {
                    tenant: meta.tenant.clone(),
                    job: meta.id.clone(),
                    deployment: meta.deployment.clone(),
                    params: meta.params.clone(),
                    stage: kind,
                    buckets: if kind == StageKind::Map { meta.buckets() } else { 0 },
                    cache: meta.cache(),
                    fuel: meta.spec.budget_fuel.map(|budget| budget.saturating_sub(open_job.cost.fuel).max(1)),
                    tasks: vec![assignment],
                });
            }
        }
    }
    batches
}
