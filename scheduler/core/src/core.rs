//! The scheduler's state and its step function. The sibling modules implement the events.

use crate::{
    Action, Config, Event, Time, hash::IndexMap, job::Job, node::Nodes, queue::Queue, suspect::Suspects, view::JobView,
};
use fabric_types::{id::JobId, job::TaskId};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// A timer of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Retry { job: u32, task: TaskId },
    Lease { node: u32 },
    Straggler { job: u32, from: usize },
    Exclusive { node: u32 },
    Suspects,
    Parked,
}

/// Totals since the core was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Dispatched attempts that are second copies of stragglers.
    pub speculated: u64,
    /// Completions of tasks that were already done.
    pub duplicates: u64,
    /// Messages about unknown or ended jobs, tasks or attempts.
    pub stale: u64,
    /// Attempts whose lease expired.
    pub expired: u64,
    /// Attempts stopped by preemption or eviction.
    pub preempted: u64,
    /// Tasks dead-lettered with `process-killed`.
    pub killed: u64,
}

/// The scheduler's state.
#[derive(Debug, Default)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) jobs: IndexMap<u32, Box<Job>>,
    pub(crate) by_id: HashMap<JobId, u32>,
    pub(crate) next_job: u32,
    pub(crate) nodes: Nodes,
    pub(crate) queue: Queue,
    pub(crate) timers: BTreeSet<(Time, Timer)>,
    pub(crate) parked: VecDeque<u32>,
    pub(crate) parked_timer: bool,
    pub(crate) suspects: Suspects,
    /// `true` if room was freed since the last scheduling round.
    pub(crate) freed: bool,
    pub(crate) announced: Option<Time>,
    pub(crate) ended: HashMap<JobId, JobView>,
    pub(crate) ended_order: VecDeque<JobId>,
    pub(crate) stats: CoreStats,
    /// No attempt is preempted for a guarantee before this time.
    pub(crate) next_preempt_at: Time,
    /// No attempt is preempted for a tenant without running attempts before this time.
    pub(crate) next_fair_preempt_at: Time,
}

impl Core {
    /// Creates an empty core.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the totals since the core was created.
    #[must_use]
    pub fn stats(&self) -> CoreStats {
        self.stats
    }

    /// Applies one event and appends the resulting actions to `actions`.
    pub fn step(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        self.step_all([event], now, actions);
    }

    /// Applies events that happened together, then schedules once. Pass a batch of completions in one call, so that the
    /// nodes are refilled in batches as well.
    pub fn step_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        for event in events {
            self.apply(event, actions);
        }
        self.fire_timers(actions);
        self.schedule(actions);
        let next = self.timers.first().map(|(at, _)| *at);
        if next != self.announced {
            self.announced = next;
            if let Some(at) = next {
                actions.push(Action::WakeAt(at));
            }
        }
    }

    fn apply(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Submit(plan) => self.submit(plan, &[], actions),
            Event::Restore { plan, tasks } => self.submit(plan, &tasks, actions),
            Event::TaskDone { job, task, attempt, node, fuel, wall_us, cached } => {
                self.task_done(&job, task, attempt, &node, fuel, wall_us, cached, actions);
            }
            Event::TaskFailed { job, task, attempt, node, retryable, code, fuel } => {
                self.task_failed(&job, task, attempt, &node, retryable, code, fuel, actions);
            }
            Event::Killed { job, task, alone } => self.killed(&job, task, alone, actions),
            Event::KilledReverted { job, task } => self.killed_reverted(&job, task),
            Event::Cancel { job } => self.cancel(&job, actions),
            Event::DropJob { job } => self.drop_job(&job, actions),
            Event::NodeUp { node, spec } => self.node_up(&node, &spec, actions),
            Event::NodeUpdate { node, spec } => self.node_update(&node, &spec),
            Event::NodeDown { node } => self.node_down(&node, actions),
            Event::Cordon { node } => self.set_mode(&node, crate::node::Mode::Cordoned),
            Event::Uncordon { node } => self.set_mode(&node, crate::node::Mode::Open),
            Event::Evict { node } => self.evict(&node, actions),
            Event::Drain { node } => self.set_mode(&node, crate::node::Mode::Draining),
            Event::Heartbeat { node } => self.heartbeat(&node),
            Event::HeartbeatWithAttempts { node, attempts } => self.heartbeat_with_attempts(&node, &attempts, actions),
            Event::SetQuota { tenant, quota } => {
                let tenant = self.queue.intern(&tenant);
                self.queue.set_quota(tenant, quota);
                self.unpark_all();
            }
            Event::SetLocalityHint { job, nodes } => self.set_locality_hint(&job, &nodes),
            Event::Tick => {}
        }
    }

    fn fire_timers(&mut self, actions: &mut Vec<Action>) {
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Retry { job, task } => self.retry_due(job, task),
                Timer::Lease { node } => self.lease_due(node, actions),
                Timer::Straggler { job, from } => self.check_stragglers(job, from, actions),
                Timer::Exclusive { node } => self.exclusive_expired(node),
                Timer::Suspects => {}
                Timer::Parked => {
                    self.parked_timer = false;
                    self.unpark_all();
                }
            }
        }
    }

    /// Adds a job to its tenant's ready set, or removes it, according to the job's state.
    pub(crate) fn requeue(&mut self, ix: u32) {
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let want = job.is_schedulable() && !job.parked;
        if want == job.queued {
            return;
        }
        job.queued = want;
        if want {
            self.queue.insert(job.tenant, job.key());
        } else {
            self.queue.remove(job.tenant, &job.key());
        }
    }

    /// Parks a job until there is more room.
    pub(crate) fn park(&mut self, ix: u32) {
        if let Some(job) = self.jobs.get_mut(&ix)
            && !job.parked
        {
            job.parked = true;
            self.parked.push_back(ix);
        }
        self.requeue(ix);
        if !self.parked_timer {
            self.parked_timer = true;
            self.timers.insert((self.now.plus_us(self.config.parked_retry_us), Timer::Parked));
        }
    }

    /// Unparks up to `most` jobs, starting with those that were parked the longest.
    pub(crate) fn unpark(&mut self, most: usize) {
        for _ in 0..most {
            let Some(ix) = self.parked.pop_front() else { break };
            if let Some(job) = self.jobs.get_mut(&ix) {
                job.parked = false;
                self.requeue(ix);
            }
        }
    }

    pub(crate) fn unpark_all(&mut self) {
        self.unpark(self.parked.len());
    }
}
