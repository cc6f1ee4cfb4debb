//! Messages from nodes: heartbeats and completed attempts.

use super::JobsOwner;
use crate::{
    job::{DoneTask, DoneTasks, FailedTask},
    journal::JobRecord,
};
use fabric_backend::lane::FromNode;
use fabric_scheduler_core::Event;
use fabric_types::{id::NodeId, job::TaskState, work::Completion};

impl JobsOwner {
    pub(super) fn message(&mut self, message: FromNode) {
        match message {
            FromNode::Heartbeat { node } => self.step([Event::Heartbeat { node }]),
            FromNode::HeldAttempts { node, attempts } => self.step([Event::HeartbeatWithAttempts { node, attempts }]),
            FromNode::Completed { node, completion } => self.completed(&node, completion),
        }
    }

    fn completed(&mut self, node: &NodeId, completion: Completion) {
        let Some(slot) = self.jobs.get_mut(&completion.job) else { return };
        if slot.job.planned.meta.tenant != completion.tenant || slot.job.ended.is_some() || slot.ending.is_some() {
            return;
        }
        let mut done = DoneTasks { node: node.clone(), tasks: Vec::with_capacity(completion.outcomes.len()) };
        let mut events = Vec::with_capacity(completion.outcomes.len());
        for outcome in completion.outcomes {
            let is_blocked = |task: fabric_scheduler_core::TaskView| task.state == TaskState::Blocked;
            if outcome.task.stage > 0 && self.core.task(&completion.job, outcome.task).is_some_and(is_blocked) {
                // An earlier owner sent it and knew of more results than the journal. Its inputs come first.
                continue;
            }
            let (job, task, attempt, node) = (completion.job.clone(), outcome.task, outcome.attempt, node.clone());
            match outcome.result {
                Ok(result) => {
                    let (fuel, wall_us, cached) = (result.cost.fuel, result.cost.wall_us, result.cached);
                    self.metrics.tasks_succeeded.inc();
                    self.metrics.tasks_cached.inc_by(u64::from(cached));
                    self.metrics.fuel.inc_by(fuel);
                    if let Some(mine) = result.differs {
                        self.metrics.results_differing.inc();
                        tracing::error!(job_id = %job, %task, key = %result.output.key, committed = %result.output.digest, computed = %mine, "task result differs from the committed one");
                    }
                    done.tasks.push(DoneTask { task, attempt, done: result });
                    events.push(Event::TaskDone { job, task, attempt, node, fuel, wall_us, cached });
                }
                Err(fault) => {
                    self.metrics.attempts_failed.inc();
                    let (retryable, code, fuel) = (fault.is_retryable(), fault.code, fault.fuel);
                    let failed = FailedTask { task, attempt, node: node.clone(), fault };
                    slot.note(&JobRecord::Failed(failed.clone()));
                    slot.job.apply_failed(failed);
                    events.push(Event::TaskFailed { job, task, attempt, node, retryable, code, fuel });
                }
            }
        }
        if !done.tasks.is_empty() {
            slot.job.apply_done(&done);
            slot.note(&JobRecord::Done(done));
        }
        self.dirty.insert(completion.job.clone());
        self.step(events);
        self.append(&completion.job);
    }
}
