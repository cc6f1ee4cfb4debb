//! The result of a run, and the memory that it used.

use super::{Scale, fleet::SimulatedFleet};
use fabric_scheduler_core::CoreStats;
use serde::Serialize;
use std::time::Duration;

/// The result of a run. All fields except `wall_s`, `cpu_s`, `core_s` and `decisions_per_s` are deterministic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScaleReport {
    /// Nodes.
    pub nodes: u32,
    /// Tasks over all jobs.
    pub tasks: u32,
    /// Jobs.
    pub jobs: u32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Simulated seconds until the last job ended.
    pub makespan_s: f64,
    /// Lower bound of the makespan in simulated seconds: max(total work / total speed, longest task / fastest node).
    pub bound_s: f64,
    /// `makespan_s` over `bound_s`.
    pub ratio: f64,
    /// Part of the time of all slots, weighted by speed, in which nothing ran.
    pub idle: f64,
    /// Part of the time of all slots, weighted by speed, that gave no result: slow nodes, second copies, lost attempts.
    pub wasted: f64,
    /// Attempts dispatched.
    pub decisions: u64,
    /// Dispatched attempts that are second copies of stragglers.
    pub copies: u64,
    /// Nodes that died.
    pub deaths: u64,
    /// Steps of the core.
    pub steps: u64,
    /// Wall time of the whole simulation in seconds.
    pub wall_s: f64,
    /// CPU time of the whole simulation in seconds; the wall time if the system does not report CPU time.
    pub cpu_s: f64,
    /// CPU time of the core in seconds, estimated from its part of the wall time, so that a busy machine does not
    /// distort it.
    pub core_s: f64,
    /// `decisions` over `core_s`. The core's time also covers completions, heartbeats and deaths.
    pub decisions_per_s: f64,
}

/// The time that a run took.
pub(super) struct RunTimes {
    pub wall: Duration,
    pub cpu: Option<Duration>,
    /// Wall time inside the core.
    pub core: Duration,
}

#[allow(clippy::cast_precision_loss)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl ScaleReport {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn new(
        scale: &Scale,
        stats: &CoreStats,
        fleet: &SimulatedFleet<'_>,
        makespan_us: u64,
        steps: u64,
        spent: &RunTimes,
    ) -> Self {
        let cpu = spent.cpu.unwrap_or(spent.wall).as_secs_f64();
        let core_s = spent.core.as_secs_f64() / spent.wall.as_secs_f64() * cpu;
        let all_us = fleet.speed * makespan_us as f64;
        Self {
            nodes: scale.nodes,
            tasks: scale.tasks,
            jobs: scale.jobs,
            seed: scale.seed,
            makespan_s: seconds(makespan_us),
            bound_s: seconds(fleet.bound_us()),
            ratio: makespan_us as f64 / fleet.bound_us() as f64,
            idle: 1.0 - fleet.busy_us / all_us,
            wasted: (fleet.busy_us - fleet.useful_us as f64) / all_us,
            decisions: stats.dispatched,
            copies: stats.speculated,
            deaths: fleet.deaths,
            steps,
            wall_s: spent.wall.as_secs_f64(),
            cpu_s: cpu,
            core_s,
            decisions_per_s: stats.dispatched as f64 / core_s,
        }
    }
}

/// Returns the CPU time of this thread; `None` if the system does not report it.
pub(super) fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the peak memory of this process since its start or [`reset_peak`]; `None` if the system does not report it.
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Resets the peak, if the system supports that.
pub fn reset_peak() {
    // Linux: writing 5 resets VmHWM. On other systems, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
