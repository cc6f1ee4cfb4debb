//! What a run gave, and whether its results are those of an undisturbed world.

use super::{World, hash};
use fabric_scheduler_core::{JobPlan, Outcome, plan};
use fabric_types::job::TaskId;

/// What a run gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// From the first submission to the last end, in microseconds.
    pub makespan_us: u64,
    /// No schedule can be faster: the larger of total work over total speed, and the longest task on the fastest node.
    pub lower_bound_us: u64,
    /// Attempts dispatched.
    pub decisions: u64,
    /// Results committed.
    pub commits: u64,
    /// Attempts that found their result committed already.
    pub repeats: u64,
    /// Attempts that a node stopped because their lease ran out.
    pub leases_run_out: u64,
    /// Jobs that succeeded.
    pub succeeded: u32,
    /// Jobs that failed, all of their attempts used up.
    pub failed: u32,
    /// Steps of the core.
    pub steps: u64,
    /// Messages that the network lost.
    pub lost: u64,
    /// Attempts that ended while their node could not reach the store.
    pub uncommitted: u64,
    /// Times that another owner took over, the first one not counted.
    pub takeovers: u64,
    /// Attempts that an owner sent after another had taken over.
    pub stale_dispatches: u64,
    /// Nodes that a task killed.
    pub poisoned: u64,
    /// Jobs that failed because of a task that killed nodes.
    pub quarantined: u32,
    /// Of those, because of a task that was only there when nodes died.
    pub wronged: u32,
    /// Nodes that the owner took for gone and that came back as they were.
    pub back_from_silence: u64,
}

/// What a task computes: from its inputs' values, as a guest would.
fn value(task: TaskId, plan: &JobPlan, inputs: impl Iterator<Item = u64>) -> u64 {
    inputs.fold(hash(&plan.job, task), |sum, input| sum.rotate_left(7) ^ input.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl World<'_> {
    /// What an attempt of a task computes from what is in the store.
    ///
    /// # Errors
    /// An input that is not there: the task was sent before it could run.
    pub(super) fn compute(&self, plan: &JobPlan, task: TaskId) -> Result<u64, String> {
        let inputs = plan::inputs(plan, task).map(|index| {
            let input = TaskId { stage: task.stage.saturating_sub(1), index };
            let found = self.results.get(&(plan.job.clone(), input)).copied();
            found.ok_or_else(|| format!("task {task} of {} ran without its input {input}", plan.job))
        });
        Ok(value(task, plan, inputs.collect::<Result<Vec<_>, _>>()?.into_iter()))
    }

    /// Every job that succeeded has every result, and they are what an undisturbed run gives.
    pub(super) fn check_results(&self) -> Result<(), String> {
        for plan in self.plans.values() {
            if !matches!(self.ended.get(&plan.job), Some(Outcome::Succeeded)) {
                continue;
            }
            let mut before: Vec<u64> = Vec::new();
            for (at, stage) in plan::stages(plan).iter().enumerate() {
                let mut values = Vec::new();
                for index in 0..stage.tasks {
                    let task = TaskId { stage: u16::try_from(at).unwrap_or(0), index };
                    if self.is_poison(&plan.job, task) {
                        continue;
                    }
                    let inputs = plan::inputs(plan, task).filter_map(|i| before.get(i as usize).copied());
                    let right = value(task, plan, inputs);
                    if self.results.get(&(plan.job.clone(), task)) != Some(&right) {
                        return Err(format!("task {task} of {} has another result than undisturbed", plan.job));
                    }
                    values.push(right);
                }
                before = values;
            }
        }
        if self.report.commits != self.results.len() as u64 {
            return Err("a result was committed more than once".to_owned());
        }
        Ok(())
    }
}
