//! The life cycle of jobs and tasks: accepted, done, failed, retried, cancelled, ended.

use crate::{Action, Core, JobOutcome, RestoredTask, SchedulableJob, core::Timer, job::Job, retry, task::NONE};
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::{TaskId, TaskState},
};

impl Core {
    pub(crate) fn submit(&mut self, plan: SchedulableJob, tasks: &[RestoredTask], actions: &mut Vec<Action>) {
        if self.by_id.contains_key(&plan.job) || self.ended.contains_key(&plan.job) {
            self.stats.stale += 1;
            return;
        }
        let ix = self.next_job;
        self.next_job += 1;
        let tenant = self.queue.intern(&plan.tenant);
        self.by_id.insert(plan.job.clone(), ix);
        let mut job = Box::new(Job::new(ix, tenant, plan));
        for restored in tasks {
            let Some(task) = job.task_mut(restored.task) else { continue };
            task.attempts = u16::try_from(restored.attempts).unwrap_or(u16::MAX).max(task.attempts);
            let again = task.state == TaskState::Succeeded;
            job.spend(restored.fuel);
            job.started = true;
            if restored.done && !again {
                job.mark_done(restored.task, NONE, restored.cached);
            } else if restored.dead && !again && restored.task.stage == 0 && job.dead < job.plan.allow_failed {
                job.killed += u32::from(restored.killed);
                job.mark_dead(restored.task, NONE);
            }
        }
        self.jobs.insert(ix, job);
        self.finish_or_requeue(ix, actions);
    }

    pub(crate) fn set_locality_hint(&mut self, job: &JobId, nodes: &[NodeId]) {
        /// Maximum hinted nodes.
        const MOST: usize = 64;
        let hints = nodes.iter().filter_map(|id| self.nodes.find(id)).take(MOST).collect();
        if let Some(job) = self.by_id.get(job).and_then(|ix| self.jobs.get_mut(ix)) {
            job.hints = hints;
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn task_done(
        &mut self,
        job: &JobId,
        id: TaskId,
        number: u32,
        node: &NodeId,
        fuel: u64,
        wall_us: u64,
        cached: bool,
        actions: &mut Vec<Action>,
    ) {
        let node = self.nodes.find(node).unwrap_or(NONE);
        let Some((ix, job)) = self.by_id.get(job).and_then(|ix| Some((*ix, self.jobs.get_mut(ix)?))) else {
            self.stats.stale += 1;
            return;
        };
        let Some(task) = job.task(id).copied() else {
            self.stats.stale += 1;
            return;
        };
        if task.state == TaskState::Blocked {
            // An earlier owner sent this attempt and knew of inputs that the journal does not have. The task runs again
            // once its inputs are done here.
            self.stats.stale += 1;
            return;
        }
        job.spend(fuel);
        if matches!(task.state, TaskState::Succeeded | TaskState::Failed) {
            // The first terminal state of a task stays. A result after the task was dead-lettered comes too late.
            job.duplicates += 1;
            self.stats.duplicates += 1;
            return self.finish_or_requeue(ix, actions);
        }
        if task.suspect {
            self.clear_suspect(ix, id);
        }
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let speed = self.nodes.get(node).map_or(1.0, |n| n.speed);
        let times = job.measure(id.stage, wall_us, speed, cached);
        let (tenant, slots) = (job.tenant, u64::from(job.plan.cpu_slots));
        if let Some(times) = times {
            self.nodes.measure(node, times);
        }
        self.queue.charge(tenant, wall_us.max(1).saturating_mul(slots));
        if let Some(running) = self.jobs.get(&ix).and_then(|job| job.running_of(id)) {
            for attempt in running.attempts() {
                if (attempt.number != number || attempt.node != node)
                    && let Some(job) = self.jobs.get(&ix)
                {
                    Self::abort(&self.nodes, job, id, attempt, actions);
                }
                self.release(ix, id, attempt);
            }
            // Dispatch took the task off the pending count. `mark_done` subtracts it again, so add it back.
            if let Some(job) = self.jobs.get_mut(&ix) {
                job.pending += 1;
            }
        }
        if let Some(job) = self.jobs.get_mut(&ix) {
            job.mark_done(id, node, cached);
        }
        self.finish_or_requeue(ix, actions);
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn task_failed(
        &mut self,
        job: &JobId,
        id: TaskId,
        number: u32,
        node: &NodeId,
        retryable: bool,
        code: Code,
        fuel: u64,
        actions: &mut Vec<Action>,
    ) {
        let node = self.nodes.find(node).unwrap_or(NONE);
        let Some((ix, job)) = self.by_id.get(job).and_then(|ix| Some((*ix, self.jobs.get_mut(ix)?))) else {
            self.stats.stale += 1;
            return;
        };
        let Some(attempt) = job.running_of(id).and_then(|r| r.find(number, node)) else {
            self.stats.stale += 1;
            return;
        };
        job.spend(fuel);
        let lost = code == Code::NodeLost;
        let last = self.release(ix, id, attempt);
        let Some(task) = self.jobs.get_mut(&ix).and_then(|job| job.task_mut(id)) else { return };
        if lost {
            task.losses = task.losses.saturating_add(1);
        } else {
            task.failures = task.failures.saturating_add(1);
        }
        if code == Code::BudgetExhausted {
            return self.finish(ix, JobOutcome::Failed { task: None, code }, actions);
        }
        if !retryable {
            return self.dead_letter_task(ix, id, node, code, actions);
        }
        if last {
            self.schedule_retry(ix, id, number, code, actions);
        } else if let Some(job) = self.jobs.get_mut(&ix) {
            job.retries += 1;
        }
        self.finish_or_requeue(ix, actions);
    }

    /// Handles a task whose last attempt failed or was lost: schedules a retry, or dead-letters the task when its
    /// attempts are used up.
    pub(crate) fn schedule_retry(&mut self, ix: u32, id: TaskId, number: u32, code: Code, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let (seed, max_attempts) = (job.seed(), job.plan.max_attempts);
        let Some(task) = job.task_mut(id) else { return };
        let (failures, losses) = (u32::from(task.failures), u32::from(task.losses));
        if failures >= max_attempts || losses > self.config.max_losses {
            let node = task.link;
            return self.dead_letter_task(ix, id, node, code, actions);
        }
        if task.suspect && code == Code::NodeLost {
            job.retries += 1;
            // No backoff, so that the retry finds the node of the dead process empty. A suspect waits for a node of its
            // own in any case.
            job.pending += 1;
            let due = self.now;
            actions.push(Action::TaskRetry { job: job.id().clone(), task: id, attempt: number, code, due });
            return self.enqueue_pending(ix, id);
        }
        task.state = TaskState::Backoff;
        job.backoff += 1;
        job.retries += 1;
        let due = self.now.plus_us(retry::backoff_us(&self.config, seed, id, failures + losses));
        self.timers.insert((due, Timer::Retry { job: ix, task: id }));
        actions.push(Action::TaskRetry { job: job.id().clone(), task: id, attempt: number, code, due });
    }

    /// Dead-letters a task. The job continues without it if `allow_failed` permits, and fails otherwise.
    pub(crate) fn dead_letter_task(&mut self, ix: u32, id: TaskId, node: u32, code: Code, actions: &mut Vec<Action>) {
        self.clear_suspect(ix, id);
        let Some(job) = self.jobs.get(&ix) else { return };
        let killed = code == Code::ProcessKilled;
        self.stats.killed += u64::from(killed);
        actions.push(Action::TaskDead { job: job.id().clone(), task: id, code });
        let too_many = killed && job.killed >= self.config.max_killed;
        if id.stage > 0 || job.dead >= job.plan.allow_failed || too_many {
            return self.finish(ix, JobOutcome::Failed { task: Some(id), code }, actions);
        }
        // A running copy would fail in the same way.
        for attempt in job.running_of(id).into_iter().flat_map(|running| running.attempts()) {
            if let Some(job) = self.jobs.get(&ix) {
                Self::abort(&self.nodes, job, id, attempt, actions);
            }
            self.release(ix, id, attempt);
        }
        if let Some(job) = self.jobs.get_mut(&ix) {
            // Dispatch took the task off the pending count.
            job.pending += 1;
            job.killed += u32::from(killed);
            job.mark_dead(id, node);
        }
        self.finish_or_requeue(ix, actions);
    }

    pub(crate) fn retry_due(&mut self, ix: u32, id: TaskId) {
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let Some(task) = job.task_mut(id) else { return };
        if task.state != TaskState::Backoff {
            return;
        }
        task.state = TaskState::Pending;
        job.backoff -= 1;
        job.pending += 1;
        self.enqueue_pending(ix, id);
        self.requeue(ix);
    }

    pub(crate) fn cancel(&mut self, job: &JobId, actions: &mut Vec<Action>) {
        match self.by_id.get(job) {
            Some(ix) => self.finish(*ix, JobOutcome::Cancelled, actions),
            None => self.stats.stale += 1,
        }
    }

    pub(crate) fn drop_job(&mut self, job: &JobId, actions: &mut Vec<Action>) {
        if let Some(ix) = self.by_id.get(job) {
            self.remove(*ix, actions);
        }
        self.ended.remove(job);
        self.ended_order.retain(|ended| ended != job);
    }

    /// Ends a job that is complete or over its budget. Otherwise adds the job to the ready set or removes it.
    pub(crate) fn finish_or_requeue(&mut self, ix: u32, actions: &mut Vec<Action>) {
        let unblocked = self.jobs.get_mut(&ix).map(|job| std::mem::take(&mut job.unblocked)).unwrap_or_default();
        for id in unblocked {
            self.enqueue_pending(ix, id);
        }
        let Some(job) = self.jobs.get(&ix) else { return };
        // Without remaining fuel, no task can run: the last task may use up the budget, but not exceed it.
        let spent =
            job.plan.budget_fuel.is_some_and(|budget| job.fuel > budget || (job.fuel == budget && !job.complete()));
        if spent {
            self.finish(ix, JobOutcome::Failed { task: None, code: Code::BudgetExhausted }, actions);
        } else if job.complete() {
            self.finish(ix, JobOutcome::Succeeded, actions);
        } else {
            self.requeue(ix);
        }
    }

    pub(crate) fn finish(&mut self, ix: u32, outcome: JobOutcome, actions: &mut Vec<Action>) {
        let Some(job) = self.remove(ix, actions) else { return };
        self.keep_ended(crate::view::ended(&job, &outcome));
        actions.push(Action::JobFinished { job: job.plan.job, outcome });
    }

    /// Removes a job, and aborts and releases its attempts.
    fn remove(&mut self, ix: u32, actions: &mut Vec<Action>) -> Option<Box<Job>> {
        let job = self.jobs.get(&ix)?;
        let running: Vec<_> = job.all_running().copied().collect();
        for entry in running {
            for attempt in entry.attempts() {
                if let Some(job) = self.jobs.get(&ix) {
                    Self::abort(&self.nodes, job, entry.task, attempt, actions);
                }
                self.release(ix, entry.task, attempt);
            }
        }
        self.suspects.forget(ix);
        let job = self.jobs.remove(&ix)?;
        if job.queued {
            self.queue.remove(job.tenant, &job.key());
        }
        self.by_id.remove(job.id());
        Some(job)
    }

    fn keep_ended(&mut self, view: crate::JobView) {
        self.ended_order.push_back(view.job.clone());
        self.ended.insert(view.job.clone(), view);
        while self.ended_order.len() > self.config.keep_ended {
            if let Some(oldest) = self.ended_order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }
}
