//! Every number that the core's decisions depend on, with its default and why.

/// The core's settings. Times are microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How long an attempt may go without a sign of life from its node. Default 15 s: three heartbeats of 5 s.
    pub lease_us: u64,
    /// Work to keep queued on a node, so that it does not idle for a round trip. Default 50 ms.
    pub queue_ahead_us: u64,
    /// Tasks per slot sent before any task of the job was measured. Default 2.
    pub initial_depth: u32,
    /// Most tasks per slot. Default 1024, so that tasks of some 20 µs outlast a commit and a round trip; values above are
    /// cut to it, because a slot is divided into 1024 units.
    pub max_depth: u32,
    /// First backoff after a failed attempt. Default 100 ms.
    pub backoff_base_us: u64,
    /// Longest backoff. Default 30 s.
    pub backoff_cap_us: u64,
    /// How often a task may lose its node before the job fails with `node-lost`. Default 32; these losses do not count
    /// as attempts.
    pub max_losses: u32,
    /// Deaths of processes with an attempt of a task on them after which the task is given up on with `process-killed`,
    /// when the last of them had nothing else on it. Default 2.
    pub kill_deaths: u32,
    /// The same for deaths with other work beside it, which may have been the cause. Default 6.
    pub max_deaths: u32,
    /// Tasks of a job that may be given up on with `process-killed`; one more fails the job whatever `allow_failed` says,
    /// since each of them costs processes. Default 4.
    pub max_killed: u32,
    /// How long an attempt of a task that was on a process when it died has a node to itself. Default 10 s, and ten times
    /// as long after each further death.
    pub alone_us: u64,
    /// How long a node is kept from new work so that it is empty for such an attempt, before the attempt goes beside
    /// what is left there. Default 30 s.
    pub empty_us: u64,
    /// How long a retried task insists on another node than the one that failed it. Default 1 s.
    pub exclusion_patience_us: u64,
    /// How often a job is looked over for stragglers. Default 500 ms.
    pub straggler_check_us: u64,
    /// A straggler is older than this many times the 95th percentile of its stage. Default 1.5.
    pub straggler_factor: f64,
    /// And older than this. Default 2 s.
    pub straggler_min_us: u64,
    /// A straggler on a node that has been silent for longer gets no copy: the node may have died of it, and whoever looks
    /// after nodes says so soon. Default: no limit; it depends on how often nodes speak.
    pub straggler_silence_us: u64,
    /// How often jobs that found no room are tried again when nothing else wakes them. Default 500 ms.
    pub parked_retry_us: u64,
    /// How old an attempt must be before it is stopped to make room for a tenant below its guarantee. Default 1 s: what
    /// takes less makes room by itself.
    pub guarantee_patience_us: u64,
    /// How old an attempt must be before it is stopped for a tenant of which nothing runs. Default 5 s: longer than for a
    /// guarantee, because nobody was promised anything.
    pub fair_patience_us: u64,
    /// Ended jobs whose counts stay readable. Default 1024; the oldest go first.
    pub keep_ended: usize,
    /// Weights of the placement scores.
    pub weights: Weights,
}

/// Weights of the placement scores; a weight of 0 switches a score off.
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
    /// Default 4, as much as all that speaks against a GPU that is busier; only for functions that use one.
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
            kill_deaths: 2,
            max_deaths: 6,
            max_killed: 4,
            alone_us: 10_000_000,
            empty_us: 30_000_000,
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
