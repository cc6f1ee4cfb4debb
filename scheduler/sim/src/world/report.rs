//! The result of a run, and the check that its task results equal those of an undisturbed world.

use super::{World, hash};
use fabric_scheduler_core::{JobOutcome, SchedulableJob, plan};
use fabric_types::job::TaskId;

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultReport {
    /// Time from the start of the world to the last end of a job, in microseconds.
    pub makespan_us: u64,
    /// Lower bound of the makespan: total work over total speed, or the longest task on the fastest node if larger.
    pub lower_bound_us: u64,
    /// Attempts dispatched.
    pub decisions: u64,
    /// Results committed.
    pub commits: u64,
    /// Attempts that found their result already committed.
    pub repeats: u64,
    /// Attempts that a node stopped because their lease expired.
    pub leases_run_out: u64,
    /// Jobs that succeeded.
    pub succeeded: u32,
    /// Jobs that did not succeed.
    pub failed: u32,
    /// Steps of the core.
    pub steps: u64,
    /// Messages lost by the network.
    pub lost: u64,
    /// Attempts that ended while their node could not reach the store.
    pub uncommitted: u64,
    /// Takeovers by another owner, except for the first.
    pub takeovers: u64,
    /// Attempts that an owner sent after another had taken over.
    pub stale_dispatches: u64,
    /// Nodes killed by a task.
    pub poisoned: u64,
    /// Tasks dead-lettered with `process-killed`.
    pub quarantined: u32,
    /// Dead-lettered tasks that were only running when nodes died for another reason.
    pub false_quarantines: u32,
    /// Nodes that the owner considered lost and that returned without a restart.
    pub back_from_silence: u64,
}

/// Returns the value of a task, computed from the values of its inputs, as by a guest.
fn value(task: TaskId, plan: &SchedulableJob, inputs: impl Iterator<Item = u64>) -> u64 {
    inputs.fold(hash(&plan.job, task), |sum, input| sum.rotate_left(7) ^ input.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl World<'_> {
    /// Returns the value of a task, computed from the results in the store.
    ///
    /// # Errors
    /// A missing input: the task was sent before it could run.
    pub(super) fn compute(&self, plan: &SchedulableJob, task: TaskId) -> Result<u64, String> {
        let inputs = plan::inputs(plan, task).map(|index| {
            let input = TaskId { stage: task.stage.saturating_sub(1), index };
            let found = self.results.get(&(plan.job.clone(), input)).copied();
            found.ok_or_else(|| format!("task {task} of {} ran without its input {input}", plan.job))
        });
        Ok(value(task, plan, inputs.collect::<Result<Vec<_>, _>>()?.into_iter()))
    }

    /// Checks that every succeeded job has every result, and that the results equal those of an undisturbed run.
    pub(super) fn check_results(&self) -> Result<(), String> {
        for plan in self.plans.values() {
            if !matches!(self.ended.get(&plan.job), Some(JobOutcome::Succeeded)) {
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
