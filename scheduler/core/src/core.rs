//! The state and the step that changes it. What each event does is in the modules beside this one.

use crate::{
    Action, Config, Event, Time, hash::IndexMap, job::Job, node::Nodes, queue::Queue, suspect::Suspects, view::JobView,
};
use fabric_types::{id::JobId, job::TaskId};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// What may fall due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Retry { job: u32, task: TaskId },
    Lease { node: u32 },
    Straggler { job: u32, from: usize },
    Alone { node: u32 },
    Suspects,
    Parked,
}

/// Totals since the core was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Of those, second copies of stragglers.
    pub speculated: u64,
    /// Completions for a task that was done already.
    pub duplicates: u64,
    /// Messages about unknown or ended jobs, tasks or attempts.
    pub stale: u64,
    /// Attempts whose lease ran out.
    pub expired: u64,
    /// Attempts that were stopped to make room for another tenant's guarantee.
    pub preempted: u64,
    /// Tasks that were given up on because processes died with them.
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
    /// Room was made since the last scheduling round.
    pub(crate) freed: bool,
    pub(crate) announced: Option<Time>,
    pub(crate) ended: HashMap<JobId, JobView>,
    pub(crate) ended_order: VecDeque<JobId>,
    pub(crate) stats: Stats,
    /// Before then nothing is stopped for a guarantee.
    pub(crate) preempt_again: Time,
    /// Before then nothing is stopped for a tenant of which nothing runs.
    pub(crate) fair_again: Time,
}

impl Core {
    /// An empty core.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Totals since it was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Takes one event and appends what to do to `actions`.
    pub fn step(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        self.step_all([event], now, actions);
    }

    /// Takes events that happened together, then decides once. Give a batch of completions this way: the nodes are
    /// refilled in batches too.
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
            Event::Spared { job, task } => self.spared(&job, task),
            Event::Cancel { job } => self.cancel(&job, actions),
            Event::Forget { job } => self.forget(&job, actions),
            Event::NodeUp { node, spec } => self.node_up(&node, &spec, actions),
            Event::NodeUpdate { node, spec } => self.node_update(&node, &spec),
            Event::NodeDown { node } => self.node_down(&node, actions),
            Event::Cordon { node } => self.set_mode(&node, crate::node::Mode::Cordoned),
            Event::Uncordon { node } => self.set_mode(&node, crate::node::Mode::Open),
            Event::Evict { node } => self.evict(&node, actions),
            Event::Drain { node } => self.set_mode(&node, crate::node::Mode::Draining),
            Event::Heartbeat { node } => self.heartbeat(&node),
            Event::Holds { node, attempts } => self.holds(&node, &attempts, actions),
            Event::SetQuota { tenant, quota } => {
                let tenant = self.queue.intern(&tenant);
                self.queue.set_quota(tenant, quota);
                self.unpark_all();
            }
            Event::Hint { job, nodes } => self.hint(&job, &nodes),
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
                Timer::Alone { node } => self.alone_over(node),
                Timer::Suspects => {}
                Timer::Parked => {
                    self.parked_timer = false;
                    self.unpark_all();
                }
            }
        }
    }

    /// Puts a job into, or takes it out of, its tenant's ready set, as its state asks.
    pub(crate) fn requeue(&mut self, ix: u32) {
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let want = job.wants() && !job.parked;
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

    /// Sets a job aside until there is more room.
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

    /// Takes up to `most` jobs back that were set aside, those that waited longest first.
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
