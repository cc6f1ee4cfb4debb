//! The shape of a job: its stages, and the tasks that are the inputs of each task.
//!
//! Stage 0 maps. A tree reduce merges `fan_in` neighbours per level until one result is left. It has at least one
//! level, so that a single partial result passes through the reducer as well. A keyed shuffle adds one stage, of which
//! each task reads one bucket of every map task.

use crate::SchedulableJob;
use fabric_types::job::{StageKind, TaskId};
use std::ops::Range;

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageShape {
    /// Kind of the stage.
    pub kind: StageKind,
    /// Number of tasks.
    pub tasks: u32,
}

/// Returns the number of partial results that one reduce task merges, at least 2.
#[must_use]
pub fn fan_in(plan: &SchedulableJob) -> u32 {
    plan.reduce_fan_in.unwrap_or(2).max(2)
}

/// Returns the stages of a job, in order. Empty if there is nothing to map.
#[must_use]
pub fn stages(plan: &SchedulableJob) -> Vec<StageShape> {
    if plan.map_tasks == 0 {
        return Vec::new();
    }
    let mut stages = vec![StageShape { kind: StageKind::Map, tasks: plan.map_tasks }];
    if let Some(partitions) = plan.shuffle {
        stages.push(StageShape { kind: StageKind::KeyedReduce, tasks: partitions.max(1) });
    } else if plan.reduce_fan_in.is_some() {
        let mut width = plan.map_tasks;
        loop {
            width = width.div_ceil(fan_in(plan));
            stages.push(StageShape { kind: StageKind::Reduce, tasks: width });
            if width <= 1 {
                break;
            }
        }
    }
    stages
}

/// Returns the number of results of the job: the tasks of its last stage.
#[must_use]
pub fn results(plan: &SchedulableJob) -> u32 {
    stages(plan).last().map_or(0, |stage| stage.tasks)
}

/// Returns the tasks of the previous stage that `task` reads. Empty for a map task and for a task outside the plan.
#[must_use]
pub fn inputs(plan: &SchedulableJob, task: TaskId) -> Range<u32> {
    let stages = stages(plan);
    let here = stages.get(usize::from(task.stage));
    let before = usize::from(task.stage).checked_sub(1).and_then(|s| stages.get(s));
    match (here, before) {
        (Some(here), Some(before)) if task.index < here.tasks => match here.kind {
            StageKind::KeyedReduce => 0..before.tasks,
            _ => {
                let from = task.index.saturating_mul(fan_in(plan));
                from..from.saturating_add(fan_in(plan)).min(before.tasks)
            }
        },
        _ => 0..0,
    }
}
