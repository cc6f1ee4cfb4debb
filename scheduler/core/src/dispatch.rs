//! The scheduling round: while there is room, the next job in fair order sends a chunk of tasks to the best node.

use crate::{
    Action, Core, Time,
    core::Timer,
    job::Job,
    node::Nodes,
    placement::{self, Candidate, Request},
    speculate::{StageTimes, threshold_us},
    task::{Attempt, AttemptKey, NONE},
};
use fabric_types::job::{TaskId, TaskState};

/// Maximum tasks that one decision sends to one node.
const CHUNK: u32 = 256;
/// Jobs that may find no room in one round before the round ends. The others are tried in the next round.
const MISSES: u32 = 32;
/// Parked jobs that are retried after room was freed.
const UNPARKED: usize = 8;

enum PlaceOutcome {
    Some,
    NoRoom,
}

impl PlaceOutcome {
    fn is_some(&self) -> bool {
        matches!(self, Self::Some)
    }
}

impl Core {
    pub(crate) fn schedule(&mut self, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.freed) {
            self.unpark(UNPARKED);
        }
        self.place_suspects(actions);
        let mut misses = 0;
        while misses < MISSES {
            let Some((tenant, ix)) = self.queue.first() else { break };
            if self.nodes.open() == 0 && !self.make_room(ix, actions) {
                // Running attempts may soon be old enough to be preempted.
                let starved = self.queue.first_starved();
                if self.queue.goes_first(tenant) || starved.is_some() {
                    self.park_timer_soon();
                }
                // A guarantee that cannot be met does not keep other tenants from their first slot.
                if let Some((other, job)) = starved
                    && other != tenant
                    && self.make_room(job, actions)
                    && self.place_some(job, actions).is_some()
                {
                    self.requeue(job);
                    continue;
                }
                break;
            }
            match self.place_some(ix, actions) {
                PlaceOutcome::Some => self.requeue(ix),
                PlaceOutcome::NoRoom if self.make_room(ix, actions) && self.place_some(ix, actions).is_some() => {
                    self.requeue(ix);
                }
                PlaceOutcome::NoRoom => {
                    misses += 1;
                    self.park(ix);
                }
            }
        }
        if misses == MISSES {
            self.park_timer_soon();
        }
    }

    fn park_timer_soon(&mut self) {
        if !self.parked_timer {
            self.parked_timer = true;
            self.timers.insert((self.now.plus_us(self.config.parked_retry_us), Timer::Parked));
        }
    }

    fn place_some(&mut self, ix: u32, actions: &mut Vec<Action>) -> PlaceOutcome {
        let active = u32::try_from(self.queue.active()).unwrap_or(u32::MAX).max(1);
        let Some(job) = self.jobs.get_mut(&ix) else { return PlaceOutcome::NoRoom };
        let quota = self.queue.get(job.tenant).map_or(0, |tenant| tenant.room(job.demand()));
        let quota = u32::try_from(quota).unwrap_or(u32::MAX);
        let allowed = job.room().min(quota);
        if allowed == 0 {
            return PlaceOutcome::NoRoom;
        }
        if let Some((task, since)) = next_retry(job) {
            let patient = self.now.since_us(since) < self.config.exclusion_patience_us && self.nodes.ready() > 1;
            let excluded = job.task(task).map(|t| t.link).filter(|n| patient && *n != NONE);
            if let Some(found) = placement::find(&self.config, &mut self.nodes, &request(job, excluded)) {
                job.retry.pop_front();
                self.send(ix, task, found, actions);
                return PlaceOutcome::Some;
            }
        }
        let Some(job) = self.jobs.get_mut(&ix) else { return PlaceOutcome::NoRoom };
        let Some((stage, ready)) = job.ready_stage() else { return PlaceOutcome::NoRoom };
        let Some(found) = placement::find(&self.config, &mut self.nodes, &request(job, None)) else {
            return PlaceOutcome::NoRoom;
        };
        // Spread evenly over the open nodes, and take at most a fair part of one node while other tenants want it.
        let open = u32::try_from(self.nodes.open()).unwrap_or(u32::MAX).max(1);
        let chunk = ready.div_ceil(open).min(found.room.div_ceil(active)).min(allowed).clamp(1, CHUNK);
        for _ in 0..chunk {
            let Some(task) = self.jobs.get_mut(&ix).and_then(|job| job.next_ready(stage)) else { break };
            self.send(ix, task, found, actions);
        }
        PlaceOutcome::Some
    }

    /// Dispatches an attempt of a pending task, or a second copy of a running one.
    pub(crate) fn send(&mut self, ix: u32, id: TaskId, found: Candidate, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let Some(task) = job.task(id).copied() else { return };
        let lease_until = self.now.plus_us(self.config.lease_us);
        let number = u32::from(task.attempts).saturating_add(1);
        let attempt = Attempt { number, node: found.node, depth: found.depth, started: self.now, lease_until };
        if task.state == TaskState::Pending {
            job.pending -= 1;
        }
        job.add_attempt(id, attempt);
        let load = job.load(found.depth);
        self.nodes.take(found.node, AttemptKey::new(ix, id, number), load);
        self.queue.take(job.tenant, load, job.demand());
        self.stats.dispatched += 1;
        if !job.started {
            job.started = true;
            actions.push(Action::JobStarted { job: job.id().clone() });
        }
        if !job.straggler_timer {
            job.straggler_timer = true;
            let at = self.now.plus_us(self.config.straggler_check_us);
            self.timers.insert((at, Timer::Straggler { job: ix, from: 0 }));
        }
        if let Some(node) = self.nodes.get(found.node) {
            actions.push(Action::Dispatch {
                node: node.id.clone(),
                job: job.id().clone(),
                task: id,
                attempt: number,
                lease_until,
            });
        }
        self.arm_lease(found.node);
    }

    /// Removes an attempt from its node, its tenant and its job. Returns `true` if it was the task's last one.
    pub(crate) fn release(&mut self, ix: u32, id: TaskId, attempt: Attempt) -> bool {
        let Some(job) = self.jobs.get_mut(&ix) else { return false };
        let load = job.load(attempt.depth);
        self.nodes.release(attempt.node, AttemptKey::new(ix, id, attempt.number), load);
        self.queue.release(job.tenant, load, job.demand());
        self.freed = true;
        job.remove_attempt(id, attempt)
    }

    pub(crate) fn abort(nodes: &Nodes, job: &Job, id: TaskId, attempt: Attempt, actions: &mut Vec<Action>) {
        if let Some(node) = nodes.get(attempt.node) {
            let (node, job) = (node.id.clone(), job.id().clone());
            actions.push(Action::Abort { node, job, task: id, attempt: attempt.number });
        }
    }

    /// Sends second copies of a job's stragglers. Each call checks one window of the running tasks. Calls are frequent
    /// enough to check every running task within [`crate::Config::straggler_check_us`], for any number of tasks.
    pub(crate) fn check_stragglers(&mut self, ix: u32, from: usize, actions: &mut Vec<Action>) {
        /// Running tasks checked in one call.
        const WINDOW: usize = 256;
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        if job.outstanding == 0 {
            job.straggler_timer = false;
            return;
        }
        let (mut next, mut wait_us) = (0, self.config.straggler_check_us);
        if job.pending == 0 {
            wait_us = (wait_us / job.running_windows(WINDOW)).max(1);
            let (window, after) = job.running_window(from, WINDOW);
            next = after;
            let times: Vec<Option<StageTimes>> = job.stages.iter().map(crate::job::Stage::stage_times).collect();
            for running in window.iter().filter(|r| r.copy.is_none()) {
                if let Some(times) = times.get(usize::from(running.task.stage)).copied().flatten() {
                    self.copy_straggler(ix, running.task, running.first, times, actions);
                }
            }
        }
        self.timers.insert((self.now.plus_us(wait_us), Timer::Straggler { job: ix, from: next }));
    }

    fn copy_straggler(&mut self, ix: u32, id: TaskId, first: Attempt, times: StageTimes, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&ix) else { return };
        let lease_us = self.config.lease_us;
        let heard =
            self.nodes.get(first.node).map_or(self.now, |node| Time(node.lease_until.0.saturating_sub(lease_us)));
        let silent = self.now.since_us(heard) > self.config.straggler_silence_us;
        if silent || job.task(id).is_some_and(|task| task.suspect) {
            return;
        }
        let speed = self.nodes.get(first.node).map_or(1.0, |n| n.speed);
        let quota = self.queue.get(job.tenant).map_or(0, |tenant| tenant.room(job.demand()));
        let old = self.now.since_us(first.started) > threshold_us(&self.config, times, speed);
        if !old || job.room() == 0 || quota == 0 {
            return;
        }
        // A copy on a slow node would be the next straggler, so wait for another node.
        let wanted = Request { least_speed: times.least_speed(), ..request(job, Some(first.node)) };
        if let Some(found) = placement::find(&self.config, &mut self.nodes, &wanted) {
            self.stats.speculated += 1;
            self.send(ix, id, found, actions);
        }
    }
}

pub(crate) fn request(job: &Job, excluded: Option<u32>) -> Request<'_> {
    Request {
        demand: job.demand(),
        labels: &job.plan.labels,
        kind: job.plan.kind,
        gpu: job.plan.gpu,
        work_us: job.work_us,
        excluded,
        least_speed: 0.0,
        hints: &job.hints,
        per_node: &job.per_node,
    }
}

/// Returns the first task of the retry queue that is still pending.
fn next_retry(job: &mut Job) -> Option<(TaskId, crate::Time)> {
    while let Some((task, since)) = job.retry.front().copied() {
        if job.task(task).is_some_and(|t| t.state == TaskState::Pending && !t.suspect) {
            return Some((task, since));
        }
        job.retry.pop_front();
    }
    None
}
