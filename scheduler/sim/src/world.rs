//! The world: an event queue, nodes that run attempts, a network that loses things, a result store and a journal.

use crate::Scenario;
use fabric_scheduler_core::{Action, Core, Event, JobPlan, NodeSpec, Outcome, RestoredTask, TenantQuota, Time, plan};
use fabric_types::{
    Code,
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long a run may take before it counts as stuck.
const HORIZON_US: u64 = 4 * 3600 * 1_000_000;
const HEARTBEAT_US: u64 = 5_000_000;
/// How often the scheduler's driver tells the store's truth to the core again (the reconcile loop).
const RECONCILE_US: u64 = 10_000_000;
/// Invariants are checked at every step below this many tasks, and at every 64th above.
const SMALL: u64 = 5_000;

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
}

#[derive(Debug, Clone)]
enum Msg {
    ToCore(Event),
    /// To a node of an incarnation: an attempt with its lease.
    Start {
        node: usize,
        job: JobId,
        task: TaskId,
        attempt: u32,
        lease_until: u64,
    },
    Stop {
        node: usize,
        job: JobId,
        task: TaskId,
        attempt: u32,
    },
    Renew {
        node: usize,
        lease_until: u64,
    },
    Finished {
        node: usize,
        life: u32,
        run: u64,
    },
    Beat {
        node: usize,
    },
    LeaseCheck {
        node: usize,
    },
    Crash {
        node: usize,
    },
    Restart {
        node: usize,
    },
    CoreCrash,
    Reconcile,
    Wake,
}

#[derive(Debug, Clone)]
struct Run {
    job: JobId,
    task: TaskId,
    attempt: u32,
    lease_until: u64,
    run: u64,
    started: bool,
}

#[derive(Debug)]
struct Node {
    id: NodeId,
    spec: NodeSpec,
    up: bool,
    life: u32,
    /// The node's clock is this far ahead (or behind) of the true one.
    skew_us: i64,
    runs: VecDeque<Run>,
}

struct World<'a> {
    scenario: &'a Scenario,
    rng: ChaCha8Rng,
    now: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Msg>,
    core: Core,
    nodes: Vec<Node>,
    plans: BTreeMap<JobId, JobPlan>,
    ended: BTreeMap<JobId, Outcome>,
    /// The store and the journal in one: create-if-absent under (job, task).
    results: BTreeMap<(JobId, TaskId), u64>,
    attempts: BTreeMap<(JobId, TaskId), u32>,
    tried: BTreeSet<(JobId, TaskId)>,
    next_run: u64,
    longest_us: u64,
    report: Report,
}

impl World<'_> {
    fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.rng.next_u64() % n }
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    fn at(&mut self, time: u64, msg: Msg) {
        self.seq += 1;
        self.queue.insert((time, self.seq), msg);
    }

    /// Over the network: dropped, delayed, repeated.
    fn send(&mut self, msg: Msg) {
        let copies =
            if self.chance(self.scenario.drop) { 0 } else { 1 + u32::from(self.chance(self.scenario.duplicate)) };
        for _ in 0..copies {
            let delay = 100 + self.below(self.scenario.delay_us + 1);
            self.at(self.now + delay, msg.clone());
        }
    }

    /// Work of a task in microseconds on a node of speed 1: a function of the task, as purity asks.
    fn work_us(&self, job: &JobId, task: TaskId) -> u64 {
        let hash = job.as_str().bytes().fold(u64::from(task.stage) << 40 | u64::from(task.index), |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3).rotate_left(23)
        });
        self.scenario.work_us / 2 + hash % (self.scenario.work_us + 1)
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let mut actions = Vec::new();
        self.core.step(event, Time(self.now), &mut actions);
        self.report.steps += 1;
        let tasks = u64::from(self.scenario.jobs) * u64::from(self.scenario.tasks);
        if tasks <= SMALL || self.report.steps.is_multiple_of(64) {
            self.core.invariants()?;
        }
        for action in actions {
            match action {
                Action::Dispatch { node, job, task, attempt, lease_until } => {
                    self.report.decisions += 1;
                    let high = self.attempts.entry((job.clone(), task)).or_default();
                    if attempt <= *high {
                        return Err(format!("attempt {attempt} of {job} {task} was handed out twice"));
                    }
                    *high = attempt;
                    if self.ended.contains_key(&job) {
                        return Err(format!("an attempt of {job}, which has ended"));
                    }
                    let node = self.node_ix(&node)?;
                    self.send(Msg::Start { node, job, task, attempt, lease_until: lease_until.0 });
                }
                Action::Abort { node, job, task, attempt } => {
                    let node = self.node_ix(&node)?;
                    self.send(Msg::Stop { node, job, task, attempt });
                }
                Action::JobFinished { job, outcome } => self.job_finished(job, outcome)?,
                Action::WakeAt(at) => self.at(at.0.max(self.now + 1), Msg::Wake),
                Action::JobStarted { .. } | Action::TaskRetry { .. } | Action::TaskDead { .. } => {}
            }
        }
        Ok(())
    }

    fn node_ix(&self, id: &NodeId) -> Result<usize, String> {
        self.nodes.iter().position(|n| &n.id == id).ok_or_else(|| format!("there is no node {id}"))
    }

    fn job_finished(&mut self, job: JobId, outcome: Outcome) -> Result<(), String> {
        let plan = self.plans.get(&job).ok_or("an unknown job ended")?;
        match outcome {
            Outcome::Succeeded => {
                for (at, stage) in plan::stages(plan).iter().enumerate() {
                    for index in 0..stage.tasks {
                        let task = TaskId { stage: u16::try_from(at).unwrap_or(0), index };
                        if !self.results.contains_key(&(job.clone(), task)) {
                            return Err(format!("job {job} succeeded without a result of {task}"));
                        }
                    }
                }
                self.report.succeeded += 1;
            }
            Outcome::Failed { .. } if self.scenario.fail > 0 => self.report.failed += 1,
            ref other => return Err(format!("job {job} ended as {other:?} in a world where nothing fails")),
        }
        match self.ended.insert(job.clone(), outcome) {
            None => Ok(()),
            Some(_) => Err(format!("job {job} ended twice")),
        }
    }

    /// Starts what is queued on a node while it has slots.
    fn fill(&mut self, at: usize) {
        loop {
            let Some(node) = self.nodes.get_mut(at) else { return };
            let busy = node.runs.iter().filter(|r| r.started).count();
            if busy >= node.spec.slots as usize {
                return;
            }
            let Some(run) = node.runs.iter_mut().find(|r| !r.started) else { return };
            run.started = true;
            let (life, speed, id, key) = (node.life, node.spec.speed, run.run, (run.job.clone(), run.task));
            let first = self.tried.insert(key.clone());
            let mut work = self.work_us(&key.0, key.1);
            if first && self.chance(self.scenario.slow) {
                work = work.saturating_mul(50);
            }
            let wall = scaled(work, speed);
            self.at(self.now + wall, Msg::Finished { node: at, life, run: id });
        }
    }

    /// When a node stops an attempt: by its own clock, which is off, with a margin that covers by how much.
    fn stops_at(&self, node: &Node, lease_until: u64) -> u64 {
        lease_until.saturating_sub(self.scenario.skew_us).saturating_add_signed(-node.skew_us)
    }

    fn handle(&mut self, msg: Msg) -> Result<(), String> {
        match msg {
            Msg::ToCore(event) => {
                if let Event::Holds { node, .. } = &event {
                    let at = self.node_ix(node)?;
                    let lease_until = self.now + self.core.config().lease_us;
                    self.send(Msg::Renew { node: at, lease_until });
                }
                self.step(event)?;
            }
            Msg::Wake => self.step(Event::Tick)?,
            Msg::Start { node: at, job, task, attempt, lease_until } => {
                self.next_run += 1;
                let run = Run { job, task, attempt, lease_until, run: self.next_run, started: false };
                let Some(node) = self.nodes.get(at) else { return Ok(()) };
                let stops = self.stops_at(node, lease_until);
                let twice = node.runs.iter().any(|r| (&r.job, r.task, r.attempt) == (&run.job, run.task, run.attempt));
                if !node.up || twice || stops <= self.now {
                    return Ok(());
                }
                if let Some(node) = self.nodes.get_mut(at) {
                    node.runs.push_back(run);
                }
                self.at(stops, Msg::LeaseCheck { node: at });
                self.fill(at);
            }
            Msg::Stop { node: at, job, task, attempt } => {
                if let Some(node) = self.nodes.get_mut(at) {
                    node.runs.retain(|r| (&r.job, r.task, r.attempt) != (&job, task, attempt));
                }
                self.fill(at);
            }
            Msg::Renew { node: at, lease_until } => {
                let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
                for run in &mut node.runs {
                    run.lease_until = run.lease_until.max(lease_until);
                }
                let Some(node) = self.nodes.get(at) else { return Ok(()) };
                let stops = self.stops_at(node, lease_until);
                self.at(stops, Msg::LeaseCheck { node: at });
            }
            Msg::LeaseCheck { node: at } => {
                let now = self.now;
                let Some(node) = self.nodes.get(at) else { return Ok(()) };
                let over: BTreeSet<u64> =
                    node.runs.iter().filter(|r| self.stops_at(node, r.lease_until) <= now).map(|r| r.run).collect();
                self.report.leases_run_out += over.len() as u64;
                if let Some(node) = self.nodes.get_mut(at) {
                    node.runs.retain(|r| !over.contains(&r.run));
                    if let Some(run) = node.runs.iter().find(|r| r.lease_until <= now) {
                        return Err(format!("attempt {} of {} {} outlives its lease", run.attempt, run.job, run.task));
                    }
                }
                self.fill(at);
            }
            Msg::Finished { node, life, run } => self.finished(node, life, run),
            Msg::Beat { node: at } => {
                let Some(node) = self.nodes.get(at) else { return Ok(()) };
                if node.up {
                    let attempts = node.runs.iter().map(|r| (r.job.clone(), r.task, r.attempt)).collect();
                    let event = Event::Holds { node: node.id.clone(), attempts };
                    self.send(Msg::ToCore(event));
                }
                self.at(self.now + HEARTBEAT_US, Msg::Beat { node: at });
            }
            Msg::Crash { node: at } => {
                let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
                node.up = false;
                node.life += 1;
                node.runs.clear();
                let id = node.id.clone();
                self.send(Msg::ToCore(Event::NodeDown { node: id }));
                let back = self.now + 1_000_000 + self.below(20_000_000);
                self.at(back, Msg::Restart { node: at });
            }
            Msg::Restart { node: at } => {
                let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
                node.up = true;
                let event = Event::NodeUp { node: node.id.clone(), spec: node.spec.clone() };
                // A registration is repeated until it is answered, so it is not lost.
                self.at(self.now + 2_500_000, Msg::ToCore(event));
            }
            Msg::CoreCrash => self.restore()?,
            Msg::Reconcile => {
                self.reconcile()?;
                self.at(self.now + RECONCILE_US, Msg::Reconcile);
            }
        }
        Ok(())
    }

    fn finished(&mut self, at: usize, life: u32, run: u64) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(place) = node.runs.iter().position(|r| r.run == run) else { return };
        if node.life != life || !node.up {
            return;
        }
        let Some(run) = node.runs.remove(place) else { return };
        let (node, speed) = (node.id.clone(), node.spec.speed);
        let (job, task, attempt) = (run.job, run.task, run.attempt);
        let event = if self.chance(self.scenario.fail) {
            Event::TaskFailed { job, task, attempt, node, retryable: true, code: Code::FunctionRetryable, fuel: 1 }
        } else {
            let here = self.results.entry((job.clone(), task)).or_default();
            *here += 1;
            let cached = *here > 1;
            if cached {
                self.report.repeats += 1;
            } else {
                self.report.commits += 1;
            }
            let wall_us = if cached { 0 } else { scaled(self.work_us(&job, task), speed) };
            Event::TaskDone { job, task, attempt, node, fuel: u64::from(!cached), wall_us, cached }
        };
        self.send(Msg::ToCore(event));
        self.fill(at);
    }

    /// The scheduler dies and another takes over with what the journal has: plans, results, attempt numbers.
    fn restore(&mut self) -> Result<(), String> {
        self.core = Core::new(self.core.config().clone());
        self.setup_tenants()?;
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at).filter(|n| n.up) else { continue };
            let event = Event::NodeUp { node: node.id.clone(), spec: node.spec.clone() };
            self.step(event)?;
        }
        let open: Vec<JobPlan> = self
            .plans
            .values()
            .filter(|p| !self.ended.contains_key(&p.job) && p.accepted_at.0 <= self.now)
            .cloned()
            .collect();
        for plan in open {
            let tasks = self
                .attempts
                .iter()
                .filter(|((job, _), _)| *job == plan.job)
                .map(|((job, task), attempts)| RestoredTask {
                    task: *task,
                    attempts: *attempts,
                    done: self.results.contains_key(&(job.clone(), *task)),
                    cached: false,
                    dead: false,
                    fuel: 0,
                })
                .collect();
            self.step(Event::Restore { plan, tasks })?;
        }
        Ok(())
    }

    /// Says again what the store knows, for messages that were lost.
    fn reconcile(&mut self) -> Result<(), String> {
        let Some(node) = self.nodes.first().map(|n| n.id.clone()) else { return Ok(()) };
        let known: Vec<(JobId, TaskId)> =
            self.results.keys().filter(|(j, _)| !self.ended.contains_key(j)).cloned().collect();
        for (job, task) in known {
            let done = fabric_types::job::TaskState::Succeeded;
            if self.core.task(&job, task).is_some_and(|t| t.state != done) {
                let event =
                    Event::TaskDone { job, task, attempt: 0, node: node.clone(), fuel: 0, wall_us: 0, cached: true };
                self.step(event)?;
            }
        }
        Ok(())
    }

    fn setup_tenants(&mut self) -> Result<(), String> {
        for n in 0..self.scenario.tenants {
            let tenant = tenant(n)?;
            let mut quota = TenantQuota { weight: n + 1, ..TenantQuota::default() };
            quota.guarantee.cpu_slots = n % 2;
            quota.limit.cpu_slots = (n % 2 == 1).then_some(3);
            self.step(Event::SetQuota { tenant, quota })?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scaled(work: u64, speed: f32) -> u64 {
    ((work as f64 / f64::from(speed)) as u64).max(1)
}

fn tenant(n: u32) -> Result<TenantId, String> {
    TenantId::new(format!("tenant-{n}")).map_err(|e| e.to_string())
}

/// Runs a world to its end.
///
/// # Errors
/// The invariant that did not hold, with the seed and the simulated time.
pub fn run(seed: u64, scenario: &Scenario) -> Result<Report, String> {
    let mut world = World {
        scenario,
        rng: ChaCha8Rng::seed_from_u64(seed),
        now: 0,
        seq: 0,
        queue: BTreeMap::new(),
        core: Core::default(),
        nodes: Vec::new(),
        plans: BTreeMap::new(),
        ended: BTreeMap::new(),
        results: BTreeMap::new(),
        attempts: BTreeMap::new(),
        tried: BTreeSet::new(),
        next_run: 0,
        longest_us: 0,
        report: Report::default(),
    };
    play(&mut world).map_err(|why| format!("seed {seed} at {} µs: {why}", world.now))?;
    Ok(world.report)
}

fn play(world: &mut World<'_>) -> Result<(), String> {
    let scenario = world.scenario;
    world.setup_tenants()?;
    let mut speed_sum = 0.0;
    let mut fastest = 0.5f32;
    for n in 0..scenario.nodes {
        let slots = 1 + u32::try_from(world.below(u64::from(scenario.max_slots))).unwrap_or(0);
        #[allow(clippy::cast_precision_loss)]
        let speed = 0.5 + world.below(1501) as f32 / 1000.0;
        let spec = NodeSpec { speed, ..NodeSpec::new(slots, 1 << 30) };
        let id = NodeId::new(format!("node-{n}")).map_err(|e| e.to_string())?;
        let skew = i64::try_from(world.below(2 * scenario.skew_us + 1)).unwrap_or(0);
        let skew_us = skew - i64::try_from(scenario.skew_us).unwrap_or(0);
        speed_sum += f64::from(speed) * f64::from(slots);
        fastest = fastest.max(speed);
        world.nodes.push(Node {
            id: id.clone(),
            spec: spec.clone(),
            up: true,
            life: 0,
            skew_us,
            runs: VecDeque::new(),
        });
        world.step(Event::NodeUp { node: id, spec })?;
        let beat = world.below(HEARTBEAT_US);
        world.at(beat, Msg::Beat { node: n as usize });
    }
    let mut total_us = 0u64;
    for n in 0..scenario.jobs {
        let tenant = tenant(n % scenario.tenants.max(1))?;
        let maps = scenario.tasks - u32::try_from(world.below(u64::from(scenario.tasks / 2 + 1))).unwrap_or(0);
        let mut plan = JobPlan::new(JobId::from_parts(1_000_000, u128::from(n)), tenant, maps);
        plan.max_attempts = 100;
        plan.memory_bytes = 1 << 20;
        match world.below(4) {
            0 => plan.shuffle = Some(3),
            1 => plan.reduce_fan_in = Some(4),
            2 => plan.concurrency = 5,
            _ => {}
        }
        plan.accepted_at = Time(world.below(1_000_000));
        for (at, stage) in plan::stages(&plan).iter().enumerate() {
            for index in 0..stage.tasks {
                let task = TaskId { stage: u16::try_from(at).unwrap_or(0), index };
                let work = world.work_us(&plan.job, task);
                total_us += work;
                world.longest_us = world.longest_us.max(work);
            }
        }
        world.plans.insert(plan.job.clone(), plan.clone());
        world.at(plan.accepted_at.0, Msg::ToCore(Event::Submit(plan)));
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let by_work = if speed_sum > 0.0 { (total_us as f64 / speed_sum) as u64 } else { 0 };
    world.report.lower_bound_us = by_work.max(scaled(world.longest_us, fastest));
    let span = world.report.lower_bound_us.max(1_000_000) * 2;
    for _ in 0..scenario.node_crashes {
        let (node, at) = (world.below(u64::from(scenario.nodes)), world.below(span));
        world.at(at, Msg::Crash { node: usize::try_from(node).unwrap_or(0) });
    }
    for _ in 0..scenario.scheduler_crashes {
        let at = world.below(span);
        world.at(at, Msg::CoreCrash);
    }
    world.at(RECONCILE_US, Msg::Reconcile);
    while world.ended.len() < world.plans.len() {
        let Some(((at, _), msg)) = world.queue.pop_first() else { return Err("nothing is left to happen".to_owned()) };
        world.now = at;
        if at > HORIZON_US {
            let why: Vec<String> =
                world.core.active_jobs().filter_map(|id| Some(format!("{id}: {}", world.core.job(id)?.why))).collect();
            return Err(format!("jobs do not end: {why:?}"));
        }
        world.handle(msg)?;
    }
    world.report.makespan_us = world.now;
    if world.report.commits != world.results.len() as u64 {
        return Err("a result was committed more than once".to_owned());
    }
    Ok(())
}
