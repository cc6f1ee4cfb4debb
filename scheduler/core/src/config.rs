//! Settings of the core, with their defaults and the reasons for them.

/// The core's settings. Times are in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Time that an attempt survives without a heartbeat from its node. Default 15 s; nodes send one every second.
    pub lease_us: u64,
    /// Work to keep queued on a node, so that it is not idle for a round trip. Default 50 ms.
    pub queue_ahead_us: u64,
    /// Tasks sent per slot before any task of the job was measured. Default 2.
    pub initial_depth: u32,
    /// Maximum tasks per slot. Default 1024, so that tasks of about 20 µs outlast a commit and a round trip. Larger
    /// values are reduced to 1024, because a slot is divided into 1024 units.
    pub max_depth: u32,
    /// First backoff after a failed attempt. Default 100 ms.
    pub backoff_base_us: u64,
    /// Longest backoff. Default 30 s.
    pub backoff_cap_us: u64,
    /// Node losses that a task survives. One more loss dead-letters the task with `node-lost`. Default 32. Losses do
    /// not count as failed attempts.
    pub max_losses: u32,
    /// Process deaths after which a task is dead-lettered with `process-killed`, if the task was alone on the process
    /// at the last death. Default 2.
    pub max_deaths_alone: u32,
    /// The same for deaths with other work on the process, which may have been the cause. Default 6.
    pub max_deaths_shared: u32,
    /// Tasks of a job that may be dead-lettered with `process-killed`. One more fails the job regardless of
    /// `allow_failed`, because each of them costs processes. Default 4.
    pub max_killed: u32,
    /// Time for which an attempt of a suspect task has a node to itself. Default 10 s; ten times as long after each
    /// further death, for up to four further deaths.
    pub exclusive_us: u64,
    /// Time for which a node receives no new work so that it becomes empty for such an attempt. After it, the attempt
    /// starts next to the remaining work. Default 30 s.
    pub drain_for_suspect_us: u64,
    /// Time for which a retried task avoids the node on which it failed. Default 1 s.
    pub exclusion_patience_us: u64,
    /// Interval between straggler checks of a job. Default 500 ms.
    pub straggler_check_us: u64,
    /// Age of a straggler, as a multiple of the 95th percentile of its stage. Default 1.5.
    pub straggler_factor: f64,
    /// Minimum age of a straggler. Default 2 s.
    pub straggler_min_us: u64,
    /// Silence of a node after which its stragglers get no copy: the task may have killed the node, and the presence
    /// check reports that soon. Default: no limit; a useful value depends on the heartbeat interval.
    pub straggler_silence_us: u64,
    /// Interval at which parked jobs are retried if no other event wakes them. Default 500 ms.
    pub parked_retry_us: u64,
    /// Minimum age of an attempt that is preempted for a tenant below its guarantee. Default 1 s: younger attempts are
    /// likely to end soon.
    pub guarantee_patience_us: u64,
    /// Minimum age of an attempt that is preempted for a tenant without running attempts. Default 5 s: longer than for
    /// a guarantee, because that tenant was promised nothing.
    pub fair_patience_us: u64,
    /// Ended jobs whose counts stay readable. Default 1024; the oldest are dropped first.
    pub keep_ended: usize,
    /// Weights of the placement scores.
    pub weights: Weights,
}

/// Weights of the placement scores. A weight of 0 disables a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Default 1.
    pub least_requested: f64,
    /// Default 1.
    pub balanced_resource_allocation: f64,
    /// Default 1.
    pub selector_spread: f64,
    /// Default 2: reading a partition or module again costs more than an uneven spread.
    pub locality: f64,
    /// Default 1.
    pub speed: f64,
    /// Default 4, as much as the scores for load, balance, spread and speed together. Applies only to functions that
    /// use a GPU.
    pub gpu: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            least_requested: 1.0,
            balanced_resource_allocation: 1.0,
            selector_spread: 1.0,
            locality: 2.0,
            speed: 1.0,
            gpu: 4.0,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_us: 15_000_000,
            queue_ahead_us: 50_000,
            initial_depth: 2,
            max_depth: 1024,
            backoff_base_us: 100_000,
            backoff_cap_us: 30_000_000,
            max_losses: 32,
            max_deaths_alone: 2,
            max_deaths_shared: 6,
            max_killed: 4,
            exclusive_us: 10_000_000,
            drain_for_suspect_us: 30_000_000,
            exclusion_patience_us: 1_000_000,
            straggler_check_us: 500_000,
            straggler_factor: 1.5,
            straggler_min_us: 2_000_000,
            straggler_silence_us: u64::MAX,
            parked_retry_us: 500_000,
            guarantee_patience_us: 1_000_000,
            fair_patience_us: 5_000_000,
            keep_ended: 1024,
            weights: Weights::default(),
        }
    }
}
