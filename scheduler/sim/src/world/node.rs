//! A simulated node: queues and runs attempts, commits their results, reports, and stops attempts without a lease.

use super::{HEARTBEAT_US, SECOND_US, World, WorldEvent, owner::Heartbeat, scaled};
use fabric_scheduler_core::{Event, NodeSpec};
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::TaskId,
};
use std::collections::{BTreeSet, VecDeque};

/// Time for which a node retries a commit before it gives up the attempt.
const COMMIT_PATIENCE_US: u64 = 5 * SECOND_US;

/// An attempt on a node.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub job: JobId,
    pub task: TaskId,
    pub attempt: u32,
    pub lease_until: u64,
    /// Number assigned by the node; 0 before.
    pub run: u64,
    /// Time at which the guest started, if it did.
    pub started: Option<u64>,
    /// Time at which the guest ended, if its result waits for the store.
    pub computed: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub id: NodeId,
    pub spec: NodeSpec,
    pub up: bool,
    /// Number of deaths so far.
    pub life: u32,
    /// Offset of the node's clock from the true time; positive if it is ahead.
    pub skew_us: i64,
    pub frozen_until: u64,
    pub lanes_cut_until: u64,
    pub store_cut_until: u64,
    pub runs: VecDeque<Run>,
    /// `true` if the node's data folder survives its process.
    pub keeps_folder: bool,
    /// Tasks that were running when the process died, as recorded in its data folder, with the number of its life.
    pub left: Option<(u32, Vec<(JobId, TaskId)>)>,
}

impl World<'_> {
    /// Returns the time at which a node stops an attempt, by its own clock, with a margin for the clock's offset.
    fn stops_at(&self, node: &Node, lease_until: u64) -> u64 {
        lease_until.saturating_sub(self.scenario.skew_us).saturating_add_signed(-node.skew_us)
    }

    pub(super) fn start(&mut self, at: usize, run: Run) -> Result<(), String> {
        self.next_run += 1;
        let run = Run { run: self.next_run, ..run };
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let stops = self.stops_at(node, run.lease_until);
        let twice = node.runs.iter().any(|r| (&r.job, r.task, r.attempt) == (&run.job, run.task, run.attempt));
        if !node.up || twice || stops <= self.now {
            return Ok(());
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.runs.push_back(run);
        }
        self.at(stops, WorldEvent::LeaseCheck { node: at });
        self.fill(at)
    }

    /// Kills the node's process. It returns, empty, at `back`.
    pub(super) fn die(&mut self, at: usize, back: u64) {
        let Some(node) = self.nodes.get_mut(at).filter(|n| n.up) else { return };
        let running = node.runs.iter().filter(|r| r.started.is_some() && r.computed.is_none());
        let running: Vec<_> = running.map(|r| (r.job.clone(), r.task)).collect();
        for key in &running {
            *self.deaths_with.entry(key.clone()).or_default() += 1;
        }
        if node.keeps_folder {
            node.left = Some((node.life, running));
        }
        node.up = false;
        node.life += 1;
        node.runs.clear();
        node.frozen_until = self.now;
        self.at(back, WorldEvent::Restart { node: at });
    }

    /// Restarts the node's process, which first reports the tasks that were running when it died.
    pub(super) fn restart(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.up = true;
        if let Some((life, tasks)) = node.left.take() {
            self.deaths.insert((at, life), tasks);
        }
    }

    /// Starts queued attempts on a node while it has free slots.
    pub(super) fn fill(&mut self, at: usize) -> Result<(), String> {
        loop {
            let now = self.now;
            let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
            let busy = node.runs.iter().filter(|r| r.started.is_some()).count();
            if busy >= node.spec.slots as usize {
                return Ok(());
            }
            let Some(run) = node.runs.iter_mut().find(|r| r.started.is_none()) else { return Ok(()) };
            run.started = Some(now);
            let (life, speed, id, key) = (node.life, node.spec.speed, run.run, (run.job.clone(), run.task));
            let first = self.tried.insert(key.clone());
            let mut work = self.work_us(&key.0, key.1);
            if first && self.chance(self.scenario.slow) {
                work = work.saturating_mul(50);
            }
            let wall = scaled(work, speed);
            self.at(now + wall, WorldEvent::Finished { node: at, life, run: id });
        }
    }

    pub(super) fn renew(&mut self, at: usize, lease_until: u64) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        for run in &mut node.runs {
            run.lease_until = run.lease_until.max(lease_until);
        }
        let Some(node) = self.nodes.get(at) else { return };
        let stops = self.stops_at(node, lease_until);
        self.at(stops, WorldEvent::LeaseCheck { node: at });
    }

    pub(super) fn check_leases(&mut self, at: usize) -> Result<(), String> {
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
        self.fill(at)
    }

    /// Handles the end of a guest, or a retry of its commit.
    pub(super) fn finished(&mut self, at: usize, life: u32, run: u64) -> Result<(), String> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at).filter(|n| n.life == life && n.up) else { return Ok(()) };
        let cut = node.store_cut_until > now;
        let Some(place) = node.runs.iter().position(|r| r.run == run) else { return Ok(()) };
        if cut && let Some(run) = node.runs.get_mut(place) {
            let since = *run.computed.get_or_insert(now);
            if now < since + COMMIT_PATIENCE_US {
                let id = run.run;
                self.at(now + SECOND_US / 2, WorldEvent::Finished { node: at, life, run: id });
                return Ok(());
            }
        }
        if node
            .runs
            .get(place)
            .is_some_and(|r| r.task == (TaskId { stage: 0, index: 0 }) && self.poison.contains(&r.job))
        {
            self.report.poisoned += 1;
            let back = now + SECOND_US + self.below(10 * SECOND_US);
            self.die(at, back);
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let Some(Run { job, task, attempt, started, .. }) = node.runs.remove(place) else { return Ok(()) };
        let (node, wall_us) = (node.id.clone(), now - started.unwrap_or(now));
        let failed = |code| Event::TaskFailed {
            job: job.clone(),
            task,
            attempt,
            node: node.clone(),
            retryable: true,
            code,
            fuel: 1,
        };
        let event = if cut {
            self.report.uncommitted += 1;
            failed(Code::Unavailable)
        } else if self.chance(self.scenario.fail) {
            failed(Code::FunctionRetryable)
        } else {
            let plan = self.plans.get(&job).ok_or_else(|| format!("an attempt of the unknown job {job}"))?;
            let value = self.compute(plan, task)?;
            let cached = match self.results.get(&(job.clone(), task)) {
                Some(first) if *first != value => return Err(format!("task {task} of {job} gave two results")),
                Some(_) => {
                    self.report.repeats += 1;
                    true
                }
                None => {
                    self.report.commits += 1;
                    self.results.insert((job.clone(), task), value);
                    false
                }
            };
            let wall_us = if cached { 0 } else { wall_us };
            Event::TaskDone { job, task, attempt, node, fuel: u64::from(!cached), wall_us, cached }
        };
        self.send(at, WorldEvent::Outcome(Box::new(event)));
        self.fill(at)
    }

    pub(super) fn beat(&mut self, at: usize) {
        let holds = self.scenario.holds;
        let Some(node) = self.nodes.get(at) else { return };
        if node.up {
            let attempts = holds.then(|| node.runs.iter().map(|r| (r.job.clone(), r.task, r.attempt)).collect());
            let beat = Heartbeat { node: at, life: node.life, attempts };
            self.send(at, WorldEvent::Heartbeat(beat));
        }
        self.at(self.now + HEARTBEAT_US, WorldEvent::NextBeat { node: at });
    }
}
