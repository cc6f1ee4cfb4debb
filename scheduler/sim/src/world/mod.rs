//! The simulated world: nodes that run attempts, a network that loses messages, a store, a journal, and an owner that
//! may die.
//!
//! Every event is a [`WorldEvent`] at a time. `owner` is the scheduler's side, `node` is the other side, `faults` has
//! the faults, and `report` has the result.

mod faults;
mod node;
mod owner;
mod report;

pub use report::FaultReport;

use crate::Scenario;
use fabric_scheduler_core::{Event, JobOutcome, NodeSpec, SchedulableJob, Time, plan};
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};
use faults::{Fault, Network};
use node::{Node, Run};
use owner::{Heartbeat, Owner, Record};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Simulated time after which a run counts as stuck.
const HORIZON_US: u64 = 4 * 3600 * SECOND_US;
const SECOND_US: u64 = 1_000_000;
const HEARTBEAT_US: u64 = 5 * SECOND_US;
/// Silence after which a node counts as lost.
const PRESENCE_US: u64 = 15 * SECOND_US;
/// Number of tasks up to which the invariants are checked at every step. Above, they are checked at every 64th step.
const SMALL: u64 = 5_000;

/// An event of the world.
#[derive(Debug, Clone)]
enum WorldEvent {
    // To the owner, over the network.
    Heartbeat(Heartbeat),
    Outcome(Box<Event>),
    // To a node, over the network.
    Start { node: usize, run: Run },
    Stop { node: usize, job: JobId, task: TaskId, attempt: u32 },
    Renew { node: usize, lease_until: u64 },
    // At a node.
    Finished { node: usize, life: u32, run: u64 },
    NextBeat { node: usize },
    LeaseCheck { node: usize },
    Restart { node: usize },
    // At the owner.
    Submit(SchedulableJob),
    Durable { epoch: u32, record: Record },
    Presence { epoch: u32 },
    Wake { epoch: u32, at: Time },
    TakeOver,
    // From outside.
    Fault(Fault),
}

impl WorldEvent {
    /// Returns the node that must be running for the event. Events for a frozen node are postponed.
    fn node(&self) -> Option<usize> {
        match self {
            Self::Start { node, .. }
            | Self::Stop { node, .. }
            | Self::Renew { node, .. }
            | Self::Finished { node, .. }
            | Self::NextBeat { node }
            | Self::LeaseCheck { node } => Some(*node),
            _ => None,
        }
    }
}

struct World<'a> {
    scenario: &'a Scenario,
    rng: ChaCha8Rng,
    now: u64,
    seq: u64,
    agenda: BTreeMap<(u64, u64), WorldEvent>,
    network: Network,
    owner: Owner,
    nodes: Vec<Node>,
    plans: BTreeMap<JobId, SchedulableJob>,
    /// Jobs whose end is in the journal.
    ended: BTreeMap<JobId, JobOutcome>,
    /// The store: the value that was computed first under each key.
    results: BTreeMap<(JobId, TaskId), u64>,
    /// Tasks that were started at least once.
    tried: BTreeSet<(JobId, TaskId)>,
    /// Jobs whose first map task kills its node.
    poison: BTreeSet<JobId>,
    /// Deaths of processes while they were running the task.
    deaths_with: BTreeMap<(JobId, TaskId), u32>,
    /// Durable records of deaths: the node, the number of its life, and the tasks that were running.
    deaths: BTreeMap<(usize, u32), Vec<(JobId, TaskId)>>,
    next_run: u64,
    longest_us: u64,
    report: FaultReport,
}

impl World<'_> {
    fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.rng.next_u64() % n }
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    fn at(&mut self, time: u64, msg: WorldEvent) {
        self.seq += 1;
        self.agenda.insert((time, self.seq), msg);
    }

    /// Returns the work of a task in microseconds on a node of speed 1. It depends on the task alone.
    fn work_us(&self, job: &JobId, task: TaskId) -> u64 {
        self.scenario.work_us / 2 + hash(job, task) % (self.scenario.work_us + 1)
    }

    fn is_poison(&self, job: &JobId, task: TaskId) -> bool {
        task == (TaskId { stage: 0, index: 0 }) && self.poison.contains(job)
    }

    fn handle(&mut self, msg: WorldEvent) -> Result<(), String> {
        if let Some(node) = msg.node().and_then(|at| self.nodes.get(at)).filter(|n| n.frozen_until > self.now) {
            // An event for a frozen node waits until the node continues.
            let until = node.frozen_until;
            self.at(until, msg);
            return Ok(());
        }
        match msg {
            WorldEvent::Heartbeat(beat) => self.heard(beat)?,
            WorldEvent::Outcome(event) => self.outcome(*event)?,
            WorldEvent::Start { node, run } => self.start(node, run)?,
            WorldEvent::Stop { node, job, task, attempt } => {
                if let Some(n) = self.nodes.get_mut(node) {
                    n.runs.retain(|r| (&r.job, r.task, r.attempt) != (&job, task, attempt));
                }
                self.fill(node)?;
            }
            WorldEvent::Renew { node, lease_until } => self.renew(node, lease_until),
            WorldEvent::Finished { node, life, run } => self.finished(node, life, run)?,
            WorldEvent::NextBeat { node } => self.beat(node),
            WorldEvent::LeaseCheck { node } => self.check_leases(node)?,
            WorldEvent::Restart { node } => self.restart(node),
            WorldEvent::Submit(plan) => self.submit(plan)?,
            WorldEvent::Durable { epoch, record } => self.durable(epoch, record)?,
            WorldEvent::Presence { epoch } => self.presence(epoch)?,
            WorldEvent::Wake { epoch, at } => self.wake(epoch, at)?,
            WorldEvent::TakeOver => self.take_over()?,
            WorldEvent::Fault(fault) => self.strike(fault)?,
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), String> {
        let Some(((at, _), msg)) = self.agenda.pop_first() else { return Err("no event is left".to_owned()) };
        self.now = at;
        if at > HORIZON_US {
            return Err(format!("it does not end: {}", self.owner.why().unwrap_or_else(|| self.left())));
        }
        self.handle(msg)
    }

    /// Describes the attempts that remain on nodes.
    fn left(&self) -> String {
        let on_nodes: usize = self.nodes.iter().map(|n| n.runs.len()).sum();
        format!("{on_nodes} attempts are on nodes, the owner counts {}", self.owner.attempts())
    }
}

fn hash(job: &JobId, task: TaskId) -> u64 {
    job.as_str().bytes().fold(u64::from(task.stage) << 40 | u64::from(task.index), |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3).rotate_left(23)
    })
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scaled(work: u64, speed: f32) -> u64 {
    ((work as f64 / f64::from(speed)) as u64).max(1)
}

fn tenant(n: u32) -> Result<TenantId, String> {
    TenantId::new(format!("tenant-{n}")).map_err(|e| e.to_string())
}

/// Runs a world until its jobs have ended and nothing is left on any node.
///
/// # Errors
/// The violated invariant, with the seed and the simulated time.
pub fn run(seed: u64, scenario: &Scenario) -> Result<FaultReport, String> {
    let mut world = World {
        scenario,
        rng: ChaCha8Rng::seed_from_u64(seed),
        now: 0,
        seq: 0,
        agenda: BTreeMap::new(),
        network: Network::default(),
        owner: Owner::default(),
        nodes: Vec::new(),
        plans: BTreeMap::new(),
        ended: BTreeMap::new(),
        results: BTreeMap::new(),
        tried: BTreeSet::new(),
        poison: BTreeSet::new(),
        deaths_with: BTreeMap::new(),
        deaths: BTreeMap::new(),
        next_run: 0,
        longest_us: 0,
        report: FaultReport::default(),
    };
    play(&mut world).map_err(|why| format!("seed {seed} at {} µs: {why}", world.now))?;
    Ok(world.report)
}

fn play(world: &mut World<'_>) -> Result<(), String> {
    let speed = join(world)?;
    world.take_over()?;
    let work_us = submit_all(world)?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let by_work = if speed.sum > 0.0 { (work_us as f64 / speed.sum) as u64 } else { 0 };
    world.report.lower_bound_us = by_work.max(scaled(world.longest_us, speed.fastest));
    world.plan_faults(world.report.lower_bound_us.max(SECOND_US) * 2);
    while world.ended.len() < world.plans.len() {
        world.next()?;
    }
    world.report.makespan_us = world.now;
    while world.nodes.iter().any(|n| !n.runs.is_empty()) || world.owner.attempts() > 0 || !world.owner.is_there() {
        world.next()?;
    }
    world.check_deaths()?;
    world.check_results()
}

struct Speed {
    sum: f64,
    fastest: f32,
}

fn join(world: &mut World<'_>) -> Result<Speed, String> {
    let scenario = world.scenario;
    let mut speed = Speed { sum: 0.0, fastest: 0.5 };
    for n in 0..scenario.nodes {
        let slots = 1 + u32::try_from(world.below(u64::from(scenario.max_slots))).unwrap_or(0);
        #[allow(clippy::cast_precision_loss)]
        let each = 0.5 + world.below(1501) as f32 / 1000.0;
        let id = NodeId::new(format!("node-{n}")).map_err(|e| e.to_string())?;
        let skew = i64::try_from(world.below(2 * scenario.skew_us + 1)).unwrap_or(0);
        speed.sum += f64::from(each) * f64::from(slots);
        speed.fastest = speed.fastest.max(each);
        world.nodes.push(Node {
            id,
            spec: NodeSpec { speed: each, ..NodeSpec::new(slots, 1 << 30) },
            up: true,
            life: 0,
            skew_us: skew - i64::try_from(scenario.skew_us).unwrap_or(0),
            frozen_until: 0,
            lanes_cut_until: 0,
            store_cut_until: 0,
            runs: VecDeque::new(),
            keeps_folder: n % 3 != 2,
            left: None,
        });
        let beat = world.below(SECOND_US / 10);
        world.at(beat, WorldEvent::NextBeat { node: n as usize });
    }
    Ok(speed)
}

/// Schedules the submission of every job within the first second. Returns their total work.
fn submit_all(world: &mut World<'_>) -> Result<u64, String> {
    let scenario = world.scenario;
    let mut total_us = 0u64;
    for n in 0..scenario.jobs {
        let tenant = tenant(n % scenario.tenants.max(1))?;
        let maps = scenario.tasks - u32::try_from(world.below(u64::from(scenario.tasks / 2 + 1))).unwrap_or(0);
        let mut plan = SchedulableJob::new(JobId::from_parts(1_000_000, u128::from(n)), tenant, maps);
        plan.max_attempts = 100;
        plan.memory_bytes = 1 << 20;
        match world.below(4) {
            0 => plan.shuffle = Some(3),
            1 => plan.reduce_fan_in = Some(4),
            2 => plan.concurrency = 5,
            _ => {}
        }
        if n < scenario.poison {
            world.poison.insert(plan.job.clone());
            // If no other task needs its result, the job continues without it.
            plan.allow_failed = u32::from(plan.shuffle.is_none() && plan.reduce_fan_in.is_none() && maps > 1);
        }
        plan.accepted_at = Time(world.below(SECOND_US));
        for (at, stage) in plan::stages(&plan).iter().enumerate() {
            for index in 0..stage.tasks {
                let task = TaskId { stage: u16::try_from(at).unwrap_or(0), index };
                let work = world.work_us(&plan.job, task);
                total_us += work;
                world.longest_us = world.longest_us.max(work);
            }
        }
        world.plans.insert(plan.job.clone(), plan.clone());
        world.at(plan.accepted_at.0, WorldEvent::Submit(plan));
    }
    Ok(total_us)
}
