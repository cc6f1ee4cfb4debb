//! Tasks in the REST API.

use super::OpenJob;
use fabric_scheduler_core::Core;
use fabric_types::{
    Fault,
    dataset::Partition,
    job::{StageKind, TaskId, TaskState},
    rest::{Page, job::Task},
};

/// A filter for lists of tasks.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of this stage.
    pub stage: Option<u16>,
}

/// Describes the input of a task.
pub fn describe(open_job: &OpenJob, kind: StageKind, id: TaskId) -> String {
    match kind {
        StageKind::Invoke => "the request body".to_owned(),
        StageKind::Reduce => "partial results".to_owned(),
        StageKind::KeyedReduce => format!("bucket {}", id.index),
        StageKind::Map => match open_job.planned.partitions.get(id.index as usize) {
            Some(Partition::Slice(s) | Partition::WithHeader { rows: s, .. }) => {
                format!("{} {}-{}", s.path, s.offset, (s.offset + s.len).saturating_sub(1))
            }
            Some(Partition::RowGroup { object, index }) => format!("{} row group {index}", object.path),
            Some(Partition::Item(text)) => {
                let short: String = text.chars().take(60).collect();
                if short.len() < text.len() { format!("item {short}…") } else { format!("item {short}") }
            }
            None => String::new(),
        },
    }
}

/// Returns the REST view of one task.
pub fn view(open_job: &OpenJob, core: Option<&Core>, id: TaskId) -> Option<Task> {
    let note = open_job.task(id)?;
    let kind = open_job.stages.get(usize::from(id.stage))?.kind;
    let at_core = core.and_then(|c| c.task(open_job.id(), id));
    let error = open_job.faults.get(&id).cloned();
    let state = match (&note.done, &at_core, &open_job.ended) {
        (Some(_), _, _) => TaskState::Succeeded,
        (None, _, _) if open_job.dead.contains_key(&id) => TaskState::Failed,
        (None, Some(view), None) => view.state,
        (None, _, Some(_)) if error.is_some() => TaskState::Failed,
        (None, _, Some(_)) => TaskState::Cancelled,
        (None, None, None) => TaskState::Pending,
    };
    let ran_on = note.node.checked_sub(1).and_then(|n| open_job.nodes.get(n as usize)).cloned();
    Some(Task {
        stage: id.stage,
        index: id.index,
        kind,
        state,
        attempts: note.attempts,
        node: at_core.and_then(|v| v.node).or(ran_on),
        input: describe(open_job, kind, id),
        key: note.done.as_ref().map(|d| d.output.key),
        fuel: note.done.as_ref().map_or(0, |d| d.cost.fuel),
        wall_us: note.done.as_ref().map_or(0, |d| d.cost.wall_us),
        gpu_us: note.done.as_ref().map_or(0, |d| d.cost.gpu_us),
        result_bytes: note.done.as_ref().map(|d| d.output.len),
        cached: note.done.as_ref().is_some_and(|d| d.cached),
        error,
    })
}

fn cursor(text: &str) -> Result<TaskId, Fault> {
    let parsed =
        text.split_once('/').and_then(|(s, i)| Some(TaskId { stage: s.parse().ok()?, index: i.parse().ok()? }));
    parsed.ok_or_else(|| Fault::new(fabric_types::Code::BadRequest, "the cursor does not belong to this list"))
}

/// Returns a page of tasks, by stage and index.
///
/// # Errors
/// `bad-request` if the cursor does not belong to this list.
pub fn page(
    open_job: &OpenJob,
    core: Option<&Core>,
    filter: &TaskFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Task>, Fault> {
    let after = after.map(cursor).transpose()?;
    let ids = open_job.stages.iter().enumerate().flat_map(|(stage, s)| {
        (0..s.tasks.len()).map(move |index| TaskId { stage: stage as u16, index: index as u32 })
    });
    let mut items = Vec::new();
    for id in ids.filter(|id| after.is_none_or(|a| *id > a) && filter.stage.is_none_or(|s| s == id.stage)) {
        let Some(task) = view(open_job, core, id) else { continue };
        if filter.state.is_some_and(|s| s != task.state) {
            continue;
        }
        if items.len() == limit {
            let next = items.last().map(|t: &Task| format!("{}/{}", t.stage, t.index));
            return Ok(Page { items, next });
        }
        items.push(task);
    }
    Ok(Page { items, next: None })
}
