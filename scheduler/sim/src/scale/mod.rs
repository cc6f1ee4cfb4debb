//! Simulation of a large fleet in one long run: the cost of a decision, and the makespan compared with the best one.
//!
//! The network loses nothing here and the core never dies, in contrast to the seeded worlds. Nodes differ in speed and
//! size, die and return, and some are far slower than announced. Time advances in turns of a millisecond. The owner
//! passes all messages of a turn to the core at once, as the driver does with waiting messages.

mod fleet;
mod report;

pub use report::{ScaleReport, peak_bytes, reset_peak};

use fabric_scheduler_core::{Action, Config, Core, Event, JobOutcome, SchedulableJob, Time};
use fabric_types::{
    id::{JobId, TenantId},
    job::TaskId,
};
use fleet::SimulatedFleet;
use report::RunTimes;
use std::time::{Duration, Instant};

/// The parameters of a fleet and its work.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Nodes, with 1 to 8 slots and speeds from 0.5 to 2, both uniformly distributed.
    pub nodes: u32,
    /// Map tasks over all jobs.
    pub tasks: u32,
    /// Jobs that share the tasks evenly, each of its own tenant, all submitted at the start.
    pub jobs: u32,
    /// Mean work of a task in milliseconds on a node of speed 1. Each task takes between half and one and a half times
    /// the mean.
    pub work_ms: u64,
    /// Nodes per thousand that die per hour. A death is noticed after 15 s, and the node returns after 5 minutes.
    pub failures: u32,
    /// Nodes per thousand that run everything [`Self::slowdown`] times slower than announced.
    pub slow_nodes: u32,
    /// Attempts per thousand that take [`Self::slowdown`] times as long.
    pub slow_attempts: u32,
    /// Factor by which these nodes and attempts are slower.
    pub slowdown: u32,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 10_000,
            tasks: 10_000_000,
            jobs: 1,
            work_ms: 10_000,
            failures: 10,
            slow_nodes: 20,
            slow_attempts: 0,
            slowdown: 10,
        }
    }
}

impl Scale {
    /// Returns the work of a task in microseconds on a node of speed 1. It depends on the task alone.
    fn work_us(&self, job: u32, index: u32) -> u64 {
        let mut hash = (u64::from(job) << 32 | u64::from(index)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mean = self.work_ms * 1000;
        mean / 2 + (hash ^ (hash >> 32)) % (mean + 1)
    }

    fn tasks_of(&self, job: u32) -> u32 {
        let jobs = self.jobs.max(1);
        self.tasks / jobs + u32::from(job < self.tasks % jobs)
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// A sentence that names the invalid parameter.
    pub fn check(&self) -> Result<(), String> {
        match self {
            s if s.nodes == 0 => Err("a fleet needs a node: give --nodes 1 or more".to_owned()),
            s if s.tasks == 0 => Err("there is nothing to run: give --tasks 1 or more".to_owned()),
            s if s.jobs == 0 || s.jobs > s.tasks => Err("give --jobs between 1 and the number of tasks".to_owned()),
            s if s.work_ms == 0 || s.work_ms > 86_400_000 => {
                Err("give --work-ms between 1 and 86400000, which is a day".to_owned())
            }
            s if s.failures > 1000 || s.slow_nodes > 1000 || s.slow_attempts > 1000 => {
                Err("failures and stragglers are per thousand: give at most 1000".to_owned())
            }
            s if s.slowdown == 0 => Err("give --slowdown 1 or more".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Simulated time after which a run counts as stuck: this multiple of the lower bound, plus a day.
const STUCK: u64 = 20;
const DAY_US: u64 = 86_400_000_000;

/// Simulates a fleet until its jobs end. The report is deterministic except for its measured times.
///
/// # Errors
/// An invalid `scale`, a job that failed or never ended, or a task without a result.
pub fn run(scale: &Scale) -> Result<ScaleReport, String> {
    scale.check()?;
    let (begun, cpu) = (Instant::now(), report::cpu());
    let mut owner = Owner { core: Core::new(Config::default()), spent: Duration::ZERO, actions: Vec::new(), steps: 0 };
    let mut fleet = SimulatedFleet::new(scale)?;
    let mut events: Vec<Event> = fleet.join();
    for job in 0..scale.jobs {
        let tenant = TenantId::new(format!("tenant-{job}")).map_err(|e| e.to_string())?;
        let mut plan = SchedulableJob::new(fleet.job(job)?, tenant, scale.tasks_of(job));
        plan.memory_bytes = 64 << 20;
        events.push(Event::Submit(plan));
    }
    let (mut now, mut wake, mut open) = (0, None, scale.jobs);
    let bound_us = fleet.bound_us();
    while open > 0 {
        owner.step(&mut events, now);
        for action in owner.actions.drain(..) {
            match action {
                Action::Dispatch { node, job, task, attempt, .. } => fleet.dispatch(now, &node, &job, task, attempt)?,
                Action::Abort { node, job, task, attempt } => fleet.abort(now, &node, &job, task, attempt)?,
                Action::JobFinished { outcome: JobOutcome::Succeeded, .. } => open -= 1,
                Action::JobFinished { job, outcome } => return Err(format!("job {job} ended as {outcome:?}")),
                Action::WakeAt(Time(at)) => wake = Some(at.div_ceil(fleet::TURN_US) * fleet::TURN_US),
                Action::JobStarted { .. } | Action::TaskRetry { .. } | Action::TaskDead { .. } => {}
            }
        }
        if open == 0 {
            break;
        }
        now = match (fleet.next_turn(), wake) {
            (Some(turn), Some(wake)) => turn.min(wake),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Err("no event is left".to_owned()),
        };
        if wake.is_some_and(|at| at <= now) {
            wake = None;
        }
        if now > bound_us.saturating_mul(STUCK).saturating_add(DAY_US) {
            return Err(format!("{open} jobs do not end; the first: {}", owner.why(&fleet.job(0)?)));
        }
        fleet.turn(now, &mut events)?;
        if events.is_empty() {
            events.push(Event::Tick);
        }
    }
    fleet.check_results()?;
    let cpu = report::cpu().and_then(|end| end.checked_sub(cpu?));
    let spent = RunTimes { wall: begun.elapsed(), cpu, core: owner.spent };
    Ok(ScaleReport::new(scale, &owner.core.stats(), &fleet, now, owner.steps, &spent))
}

/// The core, and the time spent in it.
struct Owner {
    core: Core,
    spent: Duration,
    actions: Vec<Action>,
    steps: u64,
}

impl Owner {
    fn step(&mut self, events: &mut Vec<Event>, now: u64) {
        let begun = Instant::now();
        self.core.step_all(events.drain(..), Time(now), &mut self.actions);
        self.spent += begun.elapsed();
        self.steps += 1;
    }

    fn why(&self, job: &JobId) -> String {
        self.core.job(job).map_or_else(String::new, |view| view.why)
    }
}

/// Returns the completion of an attempt.
fn done(job: JobId, index: u32, attempt: u32, node: fabric_types::id::NodeId, wall_us: u64, cached: bool) -> Event {
    let task = TaskId { stage: 0, index };
    Event::TaskDone { job, task, attempt, node, fuel: u64::from(!cached), wall_us, cached }
}
