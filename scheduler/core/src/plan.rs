//! The shape of a job: which stages it has, and which tasks feed which.
//!
//! Stage 0 maps. A tree reduce merges `fan_in` neighbours per level until one result is left; it has at least one
//! level, so that a single partial result passes the reducer too. A keyed shuffle adds one stage whose tasks each
//! read one bucket of every map task.

use crate::JobPlan;
use fabric_types::job::{StageKind, TaskId};
use std::ops::Range;

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageShape {
    /// What it does.
    pub kind: StageKind,
    /// How many tasks it has.
    pub tasks: u32,
}

/// Partial results that one reduce task of the plan merges, at least 2.
#[must_use]
pub fn fan_in(plan: &JobPlan) -> u32 {
    plan.reduce_fan_in.unwrap_or(2).max(2)
}

/// The stages of a job, in order. None when there is nothing to map.
#[must_use]
pub fn stages(plan: &JobPlan) -> Vec<StageShape> {
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

/// How many results the job has: the tasks of its last stage.
#[must_use]
pub fn results(plan: &JobPlan) -> u32 {
    stages(plan).last().map_or(0, |stage| stage.tasks)
}

/// The tasks of the previous stage that `task` reads; empty for a map task and for a task that the plan does not have.
#[must_use]
pub fn inputs(plan: &JobPlan, task: TaskId) -> Range<u32> {
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
