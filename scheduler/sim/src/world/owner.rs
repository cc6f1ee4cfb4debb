//! The owner: the core, its view of the nodes, and the journal from which another owner takes over.
//!
//! It does the same as the driver. The core receives an outcome at once, the journal a little later. A job has ended
//! once the journal has its end. Records that are on their way to the journal when the owner dies are lost. Attempts
//! that were sent but have not ended are in no journal, so the next owner has no information about them.

use super::{PRESENCE_US, SECOND_US, SMALL, World, WorldEvent, node::Run, tenant};
use fabric_scheduler_core::{Action, Core, Event, JobOutcome, RestoredTask, SchedulableJob, TenantQuota, Time, plan};
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::TaskId,
};
use std::collections::BTreeMap;

/// Maximum time until a record is durable.
const APPEND_US: u64 = 60_000;
/// The owner's clock at the start of the world, large enough to jump back.
const CLOCK_US: u64 = 3600 * SECOND_US;

/// A record of the journal.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Outcome { job: JobId, task: TaskId, attempt: u32, done: bool, cached: bool },
    Dead { job: JobId, task: TaskId },
    Ended { job: JobId, outcome: JobOutcome },
}

/// A heartbeat.
#[derive(Debug, Clone)]
pub(super) struct Heartbeat {
    pub node: usize,
    pub life: u32,
    /// Attempts on the node.
    pub attempts: Option<Vec<(JobId, TaskId, u32)>>,
}

/// The owner's view of a node.
#[derive(Debug)]
struct Seen {
    life: u32,
    last: u64,
    here: bool,
}

#[derive(Debug, Default)]
pub(super) struct Owner {
    core: Option<Core>,
    /// A frozen owner that has not noticed its successor.
    frozen: Option<Core>,
    /// Incremented at every death, freeze and takeover.
    epoch: u32,
    ahead_us: i64,
    seen: BTreeMap<usize, Seen>,
    /// Highest attempt number of each task that this owner sent or read from the journal.
    sent: BTreeMap<(JobId, TaskId), u32>,
    /// Deaths that this owner reported to its core, with the tasks.
    told: BTreeMap<(usize, u32), Vec<(JobId, TaskId)>>,
    /// Deaths of each task that any owner has counted.
    counted: BTreeMap<(JobId, TaskId), u32>,
    /// The journal, except for plans and ends.
    noted: BTreeMap<(JobId, TaskId), RestoredTask>,
}

impl Owner {
    pub fn is_there(&self) -> bool {
        self.core.is_some()
    }

    /// Returns the number of attempts that are outstanding in its core.
    pub fn attempts(&self) -> u32 {
        self.core.as_ref().map_or(0, |core| core.nodes().map(|n| n.attempts).sum())
    }

    /// Returns the reason that a job has not ended; `None` if all have.
    pub fn why(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        core.active_jobs().find_map(|id| Some(format!("{id}: {}", core.job(id)?.why)))
    }

    /// Kills the owner. Returns `true` if there was one.
    pub fn dies(&mut self) -> bool {
        self.epoch += 1;
        self.core.take().is_some()
    }

    /// Freezes the owner. Returns `true` if there was one.
    pub fn freezes(&mut self) -> bool {
        let Some(core) = self.core.take() else { return false };
        self.epoch += 1;
        self.frozen = Some(core);
        true
    }

    pub fn jump(&mut self, by_us: i64) {
        self.ahead_us = (self.ahead_us + by_us).clamp(-1_000_000_000, 1_000_000_000);
    }

    fn clock(&self, now: u64) -> Time {
        Time((now + CLOCK_US).saturating_add_signed(self.ahead_us))
    }

    /// Returns the time at which the owner's clock will show `at`, if it does not jump.
    fn when(&self, at: Time) -> u64 {
        at.0.saturating_add_signed(-self.ahead_us).saturating_sub(CLOCK_US)
    }
}

impl World<'_> {
    /// Passes an event to the core, if there is one, and carries out its actions.
    fn step(&mut self, event: Event) -> Result<(), String> {
        let time = self.owner.clock(self.now);
        let Some(core) = self.owner.core.as_mut() else { return Ok(()) };
        let mut actions = Vec::new();
        core.step(event, time, &mut actions);
        self.report.steps += 1;
        let tasks = u64::from(self.scenario.jobs) * u64::from(self.scenario.tasks);
        if tasks <= SMALL || self.report.steps.is_multiple_of(64) {
            core.invariants()?;
        }
        for action in actions {
            match action {
                Action::Dispatch { node, job, task, attempt, lease_until } => {
                    self.report.decisions += 1;
                    let high = self.owner.sent.entry((job.clone(), task)).or_default();
                    if attempt <= *high {
                        return Err(format!("attempt {attempt} of {job} {task} was handed out twice"));
                    }
                    *high = attempt;
                    if self.ended.contains_key(&job) {
                        return Err(format!("an attempt of {job}, which has ended"));
                    }
                    self.dispatch(&node, job, task, attempt, lease_until)?;
                }
                Action::Abort { node, job, task, attempt } => self.abort(&node, job, task, attempt)?,
                Action::JobFinished { job, outcome } => {
                    self.check_end(&job, &outcome)?;
                    self.append(Record::Ended { job, outcome });
                }
                Action::WakeAt(at) => self.wake_at(at),
                Action::TaskDead { job, task, code: Code::ProcessKilled } => {
                    let counted = self.owner.counted.get(&(job.clone(), task)).copied().unwrap_or(0);
                    if counted < 2 {
                        return Err(format!("task {task} of {job} was dead-lettered after {counted} deaths"));
                    }
                    self.report.quarantined += 1;
                    self.report.false_quarantines += u32::from(!self.is_poison(&job, task));
                    self.append(Record::Dead { job, task });
                }
                Action::JobStarted { .. } | Action::TaskRetry { .. } | Action::TaskDead { .. } => {}
            }
        }
        Ok(())
    }

    fn node_ix(&self, id: &NodeId) -> Result<usize, String> {
        self.nodes.iter().position(|n| &n.id == id).ok_or_else(|| format!("there is no node {id}"))
    }

    fn dispatch(&mut self, node: &NodeId, job: JobId, task: TaskId, attempt: u32, lease: Time) -> Result<(), String> {
        let (node, lease_until) = (self.node_ix(node)?, self.owner.when(lease));
        let run = Run { job, task, attempt, lease_until, run: 0, started: None, computed: None };
        self.send(node, WorldEvent::Start { node, run });
        Ok(())
    }

    fn abort(&mut self, node: &NodeId, job: JobId, task: TaskId, attempt: u32) -> Result<(), String> {
        let node = self.node_ix(node)?;
        self.send(node, WorldEvent::Stop { node, job, task, attempt });
        Ok(())
    }

    fn wake_at(&mut self, at: Time) {
        let (epoch, when) = (self.owner.epoch, self.owner.when(at).max(self.now + 1));
        self.at(when, WorldEvent::Wake { epoch, at });
    }

    pub(super) fn wake(&mut self, epoch: u32, at: Time) -> Result<(), String> {
        if epoch != self.owner.epoch {
            return Ok(());
        }
        if self.owner.clock(self.now) < at {
            // The clock went back meanwhile. The core requests each wake-up only once.
            self.wake_at(at);
            return Ok(());
        }
        self.step(Event::Tick)
    }

    pub(super) fn submit(&mut self, plan: SchedulableJob) -> Result<(), String> {
        self.step(Event::Submit(plan))
    }

    /// Handles a node's report of the end of an attempt.
    pub(super) fn outcome(&mut self, event: Event) -> Result<(), String> {
        let record = match &event {
            Event::TaskDone { job, task, attempt, cached, .. } => {
                Record::Outcome { job: job.clone(), task: *task, attempt: *attempt, done: true, cached: *cached }
            }
            Event::TaskFailed { job, task, attempt, .. } => {
                Record::Outcome { job: job.clone(), task: *task, attempt: *attempt, done: false, cached: false }
            }
            _ => return Ok(()),
        };
        if self.owner.is_there() {
            self.append(record);
        }
        self.step(event)
    }

    fn append(&mut self, record: Record) {
        let (epoch, when) = (self.owner.epoch, self.now + 1 + self.below(APPEND_US));
        self.at(when, WorldEvent::Durable { epoch, record });
    }

    /// Handles an append. The store refuses an append of an owner that was replaced.
    pub(super) fn durable(&mut self, epoch: u32, record: Record) -> Result<(), String> {
        if epoch != self.owner.epoch {
            return Ok(());
        }
        let none =
            |task| RestoredTask { task, attempts: 0, done: false, cached: false, dead: false, killed: false, fuel: 0 };
        match record {
            Record::Dead { job, task } => {
                let noted = self.owner.noted.entry((job, task)).or_insert(none(task));
                (noted.dead, noted.killed) = (true, true);
                Ok(())
            }
            Record::Outcome { job, task, attempt, done, cached } => {
                let none = none(task);
                let noted = self.owner.noted.entry((job, task)).or_insert(none);
                noted.attempts = noted.attempts.max(attempt);
                noted.cached |= cached && !noted.done;
                noted.done |= done;
                Ok(())
            }
            Record::Ended { job, outcome } => {
                match outcome {
                    JobOutcome::Succeeded => self.report.succeeded += 1,
                    _ => self.report.failed += 1,
                }
                match self.ended.insert(job.clone(), outcome) {
                    None => Ok(()),
                    Some(_) => Err(format!("job {job} ended twice")),
                }
            }
        }
    }

    fn check_end(&self, job: &JobId, outcome: &JobOutcome) -> Result<(), String> {
        let plan = self.plans.get(job).ok_or("an unknown job ended")?;
        match outcome {
            JobOutcome::Succeeded => {
                for (at, stage) in plan::stages(plan).iter().enumerate() {
                    for index in 0..stage.tasks {
                        let task = TaskId { stage: u16::try_from(at).unwrap_or(0), index };
                        if plan.allow_failed > 0 && self.is_poison(job, task) {
                            continue;
                        }
                        if !self.results.contains_key(&(job.clone(), task)) {
                            return Err(format!("job {job} succeeded without a result of {task}"));
                        }
                    }
                }
                Ok(())
            }
            JobOutcome::Failed { code: Code::ProcessKilled, .. } => Ok(()),
            JobOutcome::Failed { .. } if self.scenario.fail > 0 => Ok(()),
            other => Err(format!("job {job} ended as {other:?} in a world without permanent failures")),
        }
    }

    /// Handles a heartbeat of a node that is new, has returned, or is still present.
    pub(super) fn heard(&mut self, beat: Heartbeat) -> Result<(), String> {
        let Heartbeat { node: at, life, attempts } = beat;
        let Some((node, spec)) = self.nodes.get(at).map(|n| (n.id.clone(), n.spec.clone())) else { return Ok(()) };
        if !self.owner.is_there() || self.owner.seen.get(&at).is_some_and(|seen| seen.life > life) {
            return Ok(());
        }
        let before = self.owner.seen.insert(at, Seen { life, last: self.now, here: true });
        if !before.as_ref().is_some_and(|seen| seen.here && seen.life == life) {
            self.report.back_from_silence += u64::from(before.as_ref().is_some_and(|seen| seen.life == life));
            // A process that sends a heartbeat has not died. A process that was replaced has.
            self.deaths.remove(&(at, life));
            if let Some(seen) = before.filter(|seen| seen.life != life && seen.here) {
                self.presume(at, seen.life);
            }
            self.tell_deaths(Some(at))?;
            self.step(Event::NodeUp { node: node.clone(), spec })?;
        }
        self.step(match attempts {
            Some(attempts) => Event::HeartbeatWithAttempts { node, attempts },
            None => Event::Heartbeat { node },
        })?;
        let lease_us = self.owner.core.as_ref().map_or(0, |core| core.config().lease_us);
        self.send(at, WorldEvent::Renew { node: at, lease_until: self.now + lease_us });
        Ok(())
    }

    /// Presumes that a node's process died with the tasks that were sent to it, unless the node has recorded the death.
    fn presume(&mut self, at: usize, life: u32) {
        let Some(node) = self.nodes.get(at).map(|n| n.id.clone()) else { return };
        let Some(core) = self.owner.core.as_ref() else { return };
        let mut tasks: Vec<_> = core.tasks_with(&node).into_iter().map(|(_, job, task)| (job, task)).collect();
        tasks.sort();
        tasks.dedup();
        if !tasks.is_empty() {
            self.deaths.entry((at, life)).or_insert(tasks);
        }
    }

    /// Reports new deaths to the core, and reverts those that turned out to be wrong.
    fn tell_deaths(&mut self, of: Option<usize>) -> Result<(), String> {
        let wanted = |at: usize| of.is_none_or(|of| of == at);
        let mut keys: Vec<_> = self.deaths.keys().chain(self.owner.told.keys()).copied().collect();
        keys.retain(|(at, _)| wanted(*at));
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let now = self.deaths.get(&key).cloned().unwrap_or_default();
            let before = self.owner.told.insert(key, now.clone()).unwrap_or_default();
            for (job, task) in before.iter().filter(|task| !now.contains(task)).cloned() {
                self.step(Event::KilledReverted { job, task })?;
            }
            let alone = now.len() == 1;
            for (job, task) in now.into_iter().filter(|task| !before.contains(task)) {
                *self.owner.counted.entry((job.clone(), task)).or_default() += 1;
                self.step(Event::Killed { job, task, alone })?;
            }
        }
        Ok(())
    }

    /// Checks that no task killed more nodes than allowed. Deaths without any record are not counted: those of nodes
    /// without a data folder while there was no owner.
    pub(super) fn check_deaths(&self) -> Result<(), String> {
        let most =
            Core::default().config().max_deaths_shared + 2 * (self.scenario.owner_deaths + self.scenario.owner_freezes);
        for job in &self.poison {
            let task = TaskId { stage: 0, index: 0 };
            let deaths = self.deaths_with.get(&(job.clone(), task)).copied().unwrap_or(0);
            if deaths > most {
                return Err(format!("the first task of {job} was on {deaths} nodes that died"));
            }
        }
        Ok(())
    }

    /// Finds nodes that have become silent.
    pub(super) fn presence(&mut self, epoch: u32) -> Result<(), String> {
        if epoch != self.owner.epoch {
            return Ok(());
        }
        let now = self.now;
        let late = self.owner.seen.iter_mut().filter(|(_, seen)| seen.here && now >= seen.last + PRESENCE_US);
        let gone: Vec<(usize, u32)> = late
            .map(|(at, seen)| {
                seen.here = false;
                (*at, seen.life)
            })
            .collect();
        for (at, life) in gone {
            self.presume(at, life);
            self.tell_deaths(Some(at))?;
            if let Some(node) = self.nodes.get(at).map(|n| n.id.clone()) {
                self.step(Event::NodeDown { node })?;
            }
        }
        self.at(now + SECOND_US, WorldEvent::Presence { epoch });
        Ok(())
    }

    /// Makes another process the owner. It reads the journal and has no other information.
    pub(super) fn take_over(&mut self) -> Result<(), String> {
        if self.owner.is_there() {
            return Ok(());
        }
        self.report.takeovers += u64::from(self.owner.epoch > 0);
        self.owner.epoch += 1;
        self.owner.core = Some(Core::default());
        self.owner.seen.clear();
        self.owner.told.clear();
        self.owner.sent = self.owner.noted.iter().map(|(key, task)| (key.clone(), task.attempts)).collect();
        for n in 0..self.scenario.tenants {
            let limit = (n % 2 == 1).then_some(3);
            let mut quota = TenantQuota { weight: n + 1, ..TenantQuota::default() };
            quota.guarantee.cpu_slots = n % 2;
            quota.limit.cpu_slots = limit;
            self.step(Event::SetQuota { tenant: tenant(n)?, quota })?;
        }
        let now = self.now;
        let open = |plan: &&SchedulableJob| !self.ended.contains_key(&plan.job) && plan.accepted_at.0 <= now;
        let open: Vec<SchedulableJob> = self.plans.values().filter(open).cloned().collect();
        for plan in open {
            let tasks =
                self.owner.noted.iter().filter(|((job, _), _)| *job == plan.job).map(|(_, task)| *task).collect();
            self.step(Event::Restore { plan, tasks })?;
        }
        self.tell_deaths(None)?;
        let epoch = self.owner.epoch;
        self.at(now + SECOND_US, WorldEvent::Presence { epoch });
        Ok(())
    }

    /// Continues a frozen owner next to its successor: its appends are refused, and its messages arrive.
    pub(super) fn owner_thaws(&mut self) -> Result<(), String> {
        let Some(mut core) = self.owner.frozen.take() else { return Ok(()) };
        let time = self.owner.clock(self.now);
        let mut actions = Vec::new();
        core.step(Event::Tick, time, &mut actions);
        // The owner notices within two seconds. Until then, it also retries attempts that it considers lost.
        core.step(Event::Tick, time.plus_us(SECOND_US), &mut actions);
        core.invariants()?;
        for action in actions {
            match action {
                Action::Dispatch { node, job, task, attempt, lease_until } => {
                    self.report.stale_dispatches += 1;
                    self.dispatch(&node, job, task, attempt, lease_until)?;
                }
                Action::Abort { node, job, task, attempt } => self.abort(&node, job, task, attempt)?,
                _ => {}
            }
        }
        Ok(())
    }
}
