//! The nodes of a large fleet: their work, their deaths, and their reports.

use super::{Scale, done};
use fabric_scheduler_core::{Event, NodeSpec};
use fabric_types::{
    id::{JobId, NodeId},
    job::TaskId,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Interval between turns of the owner, and resolution of time.
pub const TURN_US: u64 = 1_000;
/// Latency of a message between owner and node.
const WAY_US: u64 = 1_000;
/// Time from the end of a guest to the commit of its result.
const COMMIT_US: u64 = 20_000;
const BEAT_US: u64 = 5_000_000;
/// Every n-th heartbeat lists the attempts on the node.
const HOLDS_EVERY: u64 = 3;
/// Silence after which a node counts as lost.
const PRESENCE_US: u64 = 15_000_000;
/// Time after which a dead node returns.
const BACK_US: u64 = 300_000_000;

/// An event at a node, or a message that reaches the owner.
enum FleetEvent {
    Arrives { node: u32, attempt: Attempt },
    Aborted { node: u32, attempt: Attempt },
    Ends { node: u32, run: u64 },
    Heard(Box<Event>),
    Beat { node: u32, life: u32, nth: u64 },
    SomeoneDies,
    Back { node: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Attempt {
    job: u32,
    index: u32,
    number: u32,
}

struct Run {
    attempt: Attempt,
    id: u64,
    since: u64,
}

struct Node {
    id: NodeId,
    spec: NodeSpec,
    /// Factor by which the node is slower than announced.
    slowdown: u64,
    up: bool,
    life: u32,
    running: Vec<Run>,
    waiting: VecDeque<Attempt>,
}

/// The nodes and all scheduled events.
pub struct SimulatedFleet<'a> {
    scale: &'a Scale,
    rng: ChaCha8Rng,
    nodes: Vec<Node>,
    by_id: HashMap<NodeId, u32>,
    jobs: Vec<JobId>,
    by_job: HashMap<JobId, u32>,
    agenda: BTreeMap<u64, Vec<FleetEvent>>,
    runs: u64,
    /// By job and task: `true` if the result is committed.
    committed: Vec<Vec<bool>>,
    bound_us: u64,
    /// Sum of slots times announced speed.
    pub speed: f64,
    /// Nodes that died.
    pub deaths: u64,
    /// Time in which slots were occupied, times their announced speed, in microseconds.
    pub busy_us: f64,
    /// Work of the committed results in microseconds.
    pub useful_us: u64,
}

impl<'a> SimulatedFleet<'a> {
    pub fn new(scale: &'a Scale) -> Result<Self, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(scale.seed);
        let mut nodes = Vec::with_capacity(scale.nodes as usize);
        let mut by_id = HashMap::new();
        let (mut speed, mut fastest) = (0.0, 0.5_f64);
        for n in 0..scale.nodes {
            let id = NodeId::new(format!("node-{n}")).map_err(|e| e.to_string())?;
            let slots = 1 + below(&mut rng, 8);
            #[allow(clippy::cast_precision_loss)]
            let each = 0.5 + below(&mut rng, 1501) as f32 / 1000.0;
            let slow = below(&mut rng, 1000) < u64::from(scale.slow_nodes);
            speed += f64::from(each) * f64::from(u32::try_from(slots).unwrap_or(1));
            fastest = fastest.max(f64::from(each));
            by_id.insert(id.clone(), n);
            nodes.push(Node {
                id,
                spec: NodeSpec { speed: each, ..NodeSpec::new(u32::try_from(slots).unwrap_or(1), 16 << 30) },
                slowdown: if slow { u64::from(scale.slowdown) } else { 1 },
                up: true,
                life: 0,
                running: Vec::new(),
                waiting: VecDeque::new(),
            });
        }
        let jobs: Vec<JobId> = (0..scale.jobs).map(|n| JobId::from_parts(1_000_000, u128::from(n))).collect();
        let by_job = (0..).zip(&jobs).map(|(n, id)| (id.clone(), n)).collect();
        let work = |job| (0..scale.tasks_of(job)).map(move |index| scale.work_us(job, index));
        let (total, longest) = (0..scale.jobs).flat_map(work).fold((0, 0), |(sum, most), w| (sum + w, w.max(most)));
        let bound_us = over(total, speed).max(over(longest, fastest));
        let committed = (0..scale.jobs).map(|job| vec![false; scale.tasks_of(job) as usize]).collect();
        let agenda = BTreeMap::new();
        let (runs, deaths, busy_us, useful_us) = (0, 0, 0.0, 0);
        Ok(Self {
            scale,
            rng,
            nodes,
            by_id,
            jobs,
            by_job,
            agenda,
            runs,
            committed,
            bound_us,
            speed,
            deaths,
            busy_us,
            useful_us,
        })
    }

    /// Returns the lower bound of the makespan: the larger of all work over the speed of all slots, and the longest
    /// task on the fastest node. Every node counts with the speed it announces, as if none ever died or was slow. Every
    /// node can hold every task here.
    pub fn bound_us(&self) -> u64 {
        self.bound_us
    }

    pub fn job(&self, n: u32) -> Result<JobId, String> {
        self.jobs.get(n as usize).cloned().ok_or_else(|| format!("there is no job {n}"))
    }

    /// Joins every node, and schedules heartbeats and deaths.
    pub fn join(&mut self) -> Vec<Event> {
        for n in 0..self.scale.nodes {
            let at = below(&mut self.rng, BEAT_US);
            self.at(at, FleetEvent::Beat { node: n, life: 0, nth: 1 });
        }
        self.next_death(0);
        self.nodes.iter().map(|n| Event::NodeUp { node: n.id.clone(), spec: n.spec.clone() }).collect()
    }

    fn at(&mut self, time: u64, happening: FleetEvent) {
        self.agenda.entry(time.div_ceil(TURN_US) * TURN_US).or_default().push(happening);
    }

    /// Returns the time of the next event.
    pub fn next_turn(&self) -> Option<u64> {
        self.agenda.keys().next().copied()
    }

    /// Schedules the next death. Deaths are a Poisson process over the whole fleet.
    fn next_death(&mut self, now: u64) {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        if self.scale.failures > 0 {
            let per_hour = f64::from(self.scale.nodes) * f64::from(self.scale.failures) / 1000.0;
            let chance = (below(&mut self.rng, 1 << 32) + 1) as f64 / (1u64 << 32) as f64;
            let wait = (-chance.ln() * 3_600e6 / per_hour) as u64;
            self.at(now + wait.max(1), FleetEvent::SomeoneDies);
        }
    }

    fn attempt(&self, job: &JobId, task: TaskId, number: u32) -> Result<Attempt, String> {
        let job = self.by_job.get(job).ok_or_else(|| format!("an attempt of the unknown job {job}"))?;
        Ok(Attempt { job: *job, index: task.index, number })
    }

    fn find(&self, node: &NodeId) -> Result<u32, String> {
        self.by_id.get(node).copied().ok_or_else(|| format!("there is no node {node}"))
    }

    pub fn dispatch(&mut self, now: u64, node: &NodeId, job: &JobId, task: TaskId, n: u32) -> Result<(), String> {
        let (node, attempt) = (self.find(node)?, self.attempt(job, task, n)?);
        self.at(now + WAY_US, FleetEvent::Arrives { node, attempt });
        Ok(())
    }

    pub fn abort(&mut self, now: u64, node: &NodeId, job: &JobId, task: TaskId, n: u32) -> Result<(), String> {
        let (node, attempt) = (self.find(node)?, self.attempt(job, task, n)?);
        self.at(now + WAY_US, FleetEvent::Aborted { node, attempt });
        Ok(())
    }

    /// Processes all due events, and appends the messages for the owner.
    pub fn turn(&mut self, now: u64, heard: &mut Vec<Event>) -> Result<(), String> {
        while let Some(entry) = self.agenda.first_entry().filter(|e| *e.key() <= now) {
            for happening in entry.remove() {
                match happening {
                    FleetEvent::Heard(event) => heard.push(*event),
                    FleetEvent::Arrives { node, attempt } => {
                        if let Some(n) = self.nodes.get_mut(node as usize).filter(|n| n.up) {
                            n.waiting.push_back(attempt);
                            self.fill(now, node);
                        }
                    }
                    FleetEvent::Aborted { node, attempt } => self.stop(now, node, attempt),
                    FleetEvent::Ends { node, run } => self.ends(now, node, run)?,
                    FleetEvent::Beat { node, life, nth } => self.beat(now, node, life, nth)?,
                    FleetEvent::SomeoneDies => {
                        let node = u32::try_from(below(&mut self.rng, u64::from(self.scale.nodes))).unwrap_or(0);
                        self.dies(now, node);
                        self.next_death(now);
                    }
                    FleetEvent::Back { node } => self.back(now, node),
                }
            }
        }
        Ok(())
    }

    /// Starts waiting attempts on a node while it has free slots.
    fn fill(&mut self, now: u64, at: u32) {
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        let mut started = Vec::new();
        while node.running.len() < node.spec.slots as usize {
            let Some(attempt) = node.waiting.pop_front() else { break };
            let slow = below(&mut self.rng, 1000) < u64::from(self.scale.slow_attempts);
            let factor = node.slowdown * if slow { u64::from(self.scale.slowdown) } else { 1 };
            let work = self.scale.work_us(attempt.job, attempt.index) * factor;
            self.runs += 1;
            node.running.push(Run { attempt, id: self.runs, since: now });
            started.push((now + over(work, f64::from(node.spec.speed)), self.runs));
        }
        for (time, run) in started {
            self.at(time, FleetEvent::Ends { node: at, run });
        }
    }

    /// Adds the time for which a slot was occupied since `since`.
    fn count(&mut self, now: u64, since: u64, speed: f32) {
        #[allow(clippy::cast_precision_loss)]
        let taken = (now - since) as f64;
        self.busy_us += taken * f64::from(speed);
    }

    fn stop(&mut self, now: u64, at: u32, attempt: Attempt) {
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        node.waiting.retain(|w| *w != attempt);
        if let Some(place) = node.running.iter().position(|r| r.attempt == attempt) {
            let (run, speed) = (node.running.swap_remove(place), node.spec.speed);
            self.count(now, run.since, speed);
        }
        self.fill(now, at);
    }

    fn ends(&mut self, now: u64, at: u32, run: u64) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(at as usize) else { return Ok(()) };
        let Some(place) = node.running.iter().position(|r| r.id == run) else { return Ok(()) };
        let (run, speed, id) = (node.running.swap_remove(place), node.spec.speed, node.id.clone());
        self.count(now, run.since, speed);
        let Attempt { job, index, number } = run.attempt;
        let committed = self.committed.get_mut(job as usize).and_then(|j| j.get_mut(index as usize));
        let cached = std::mem::replace(committed.ok_or("an unknown task ended")?, true);
        if !cached {
            self.useful_us += self.scale.work_us(job, index);
        }
        let event = done(self.job(job)?, index, number, id, if cached { 0 } else { now - run.since }, cached);
        self.at(now + COMMIT_US + WAY_US, FleetEvent::Heard(Box::new(event)));
        self.fill(now, at);
        Ok(())
    }

    fn beat(&mut self, now: u64, at: u32, life: u32, nth: u64) -> Result<(), String> {
        let Some(node) = self.nodes.get(at as usize).filter(|n| n.up && n.life == life) else { return Ok(()) };
        let id = node.id.clone();
        let event = if nth.is_multiple_of(HOLDS_EVERY) {
            let all = node.running.iter().map(|r| r.attempt).chain(node.waiting.iter().copied());
            let name = |a: Attempt| Ok((self.job(a.job)?, TaskId { stage: 0, index: a.index }, a.number));
            Event::HeartbeatWithAttempts { node: id, attempts: all.map(name).collect::<Result<_, String>>()? }
        } else {
            Event::Heartbeat { node: id }
        };
        self.at(now + WAY_US, FleetEvent::Heard(Box::new(event)));
        self.at(now + BEAT_US, FleetEvent::Beat { node: at, life, nth: nth + 1 });
        Ok(())
    }

    fn dies(&mut self, now: u64, at: u32) {
        let Some(node) = self.nodes.get_mut(at as usize).filter(|n| n.up) else { return };
        node.up = false;
        node.life += 1;
        node.waiting.clear();
        let (id, speed, runs) = (node.id.clone(), node.spec.speed, std::mem::take(&mut node.running));
        for run in runs {
            self.count(now, run.since, speed);
        }
        self.deaths += 1;
        self.at(now + PRESENCE_US, FleetEvent::Heard(Box::new(Event::NodeDown { node: id })));
        self.at(now + BACK_US, FleetEvent::Back { node: at });
    }

    fn back(&mut self, now: u64, at: u32) {
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        node.up = true;
        let (life, event) = (node.life, Event::NodeUp { node: node.id.clone(), spec: node.spec.clone() });
        self.at(now + WAY_US, FleetEvent::Heard(Box::new(event)));
        self.at(now + BEAT_US, FleetEvent::Beat { node: at, life, nth: 1 });
    }

    /// Checks that every task has its result.
    ///
    /// # Errors
    /// The first task without a result.
    pub fn check_results(&self) -> Result<(), String> {
        for (job, tasks) in self.jobs.iter().zip(&self.committed) {
            if let Some(index) = tasks.iter().position(|done| !done) {
                return Err(format!("job {job} succeeded without a result of task 0/{index}"));
            }
        }
        Ok(())
    }
}

fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    if n == 0 { 0 } else { rng.next_u64() % n }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn over(work_us: u64, speed: f64) -> u64 {
    ((work_us as f64 / speed) as u64).max(1)
}
