//! What a large run gave, and the memory it took.

use super::{Scale, fleet::Fleet};
use fabric_scheduler_core::Stats;
use serde::Serialize;
use std::time::Duration;

/// What a run gave. Everything but `wall_s`, `cpu_s`, `core_s` and `decisions_per_s` depends on the options alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Nodes.
    pub nodes: u32,
    /// Tasks over all jobs.
    pub tasks: u32,
    /// Jobs.
    pub jobs: u32,
    /// What chance began with.
    pub seed: u64,
    /// Simulated seconds until the last job ended.
    pub makespan_s: f64,
    /// Simulated seconds that no schedule can beat: max(total work / total speed, longest task / fastest node).
    pub bound_s: f64,
    /// `makespan_s` over `bound_s`.
    pub ratio: f64,
    /// Part of all slots' time, weighted by speed, in which nothing ran.
    pub idle: f64,
    /// Part of all slots' time, weighted by speed, that gave no result: slow nodes, second copies, lost attempts.
    pub wasted: f64,
    /// Attempts dispatched.
    pub decisions: u64,
    /// Of those, second copies of stragglers.
    pub copies: u64,
    /// Nodes that died.
    pub deaths: u64,
    /// Steps of the core.
    pub steps: u64,
    /// Wall time of the whole simulation in seconds.
    pub wall_s: f64,
    /// CPU time of the whole simulation in seconds; the wall time where the system does not say.
    pub cpu_s: f64,
    /// Of that, the core's part: as large as its part of the wall time. So a busy machine does not blur it.
    pub core_s: f64,
    /// `decisions` over `core_s`. The core's time also covers completions, heartbeats and deaths.
    pub decisions_per_s: f64,
}

/// The time that a run took.
pub(super) struct Spent {
    pub wall: Duration,
    pub cpu: Option<Duration>,
    /// Wall time inside the core.
    pub core: Duration,
}

#[allow(clippy::cast_precision_loss)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl Report {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn new(
        scale: &Scale,
        stats: &Stats,
        fleet: &Fleet<'_>,
        makespan_us: u64,
        steps: u64,
        spent: &Spent,
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

/// CPU time that this thread has had; none where the system does not say.
pub(super) fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Most memory that this process had since its start, or since [`reset_peak`]; none where the system does not say.
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Forgets the peak so far, where the system can.
pub fn reset_peak() {
    // Linux: writing 5 resets VmHWM. Elsewhere the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
