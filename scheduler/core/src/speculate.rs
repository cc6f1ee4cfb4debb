//! Stragglers: a running attempt that is much older than its stage's usual time gets a second copy elsewhere.
//!
//! Only near the end of a stage (75% done, nothing of the job waiting), at most one copy per task: the rule of
//! MapReduce's backup tasks (Dean, Ghemawat 2004) with a threshold on measured times. The first result wins.

use crate::Config;

const SUB: u32 = 4;
const BUCKETS: usize = 41 * SUB as usize;

/// Measured wall times of a stage, in logarithmic buckets of a quarter of a power of two, so within 25%.
#[derive(Debug, Clone)]
pub struct WallTimes {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for WallTimes {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

fn bucket(us: u64) -> usize {
    let us = us.max(u64::from(SUB));
    let log = us.ilog2();
    let part = (us >> (log - 2)) & u64::from(SUB - 1);
    ((u64::from((log - 2) * SUB) + part) as usize).min(BUCKETS - 1)
}

fn upper_us(bucket: usize) -> u64 {
    let (log, part) = (bucket as u64 / u64::from(SUB), bucket as u64 % u64::from(SUB));
    (u64::from(SUB) + part + 1) << log
}

impl WallTimes {
    /// Adds a task that took `us` microseconds.
    pub fn add(&mut self, us: u64) {
        if let Some(n) = self.counts.get_mut(bucket(us)) {
            *n = n.saturating_add(1);
            self.total += 1;
        }
    }

    /// How many were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// An upper bound of the `percent`th percentile in microseconds; none before anything was added.
    #[must_use]
    pub fn percentile_us(&self, percent: u64) -> Option<u64> {
        let want = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(at, n)| {
            seen += u64::from(*n);
            (self.total > 0 && seen >= want).then(|| upper_us(at))
        })
    }
}

/// Age in microseconds beyond which an attempt of such a stage is a straggler; none while too little was measured or
/// too little is done.
#[must_use]
pub fn threshold_us(config: &Config, walls: &WallTimes, done: u32, tasks: u32) -> Option<u64> {
    if u64::from(done) * 4 < u64::from(tasks) * 3 || walls.count() < 3 {
        return None;
    }
    let p95 = walls.percentile_us(95)?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let scaled = (p95 as f64 * config.straggler_factor.max(1.0)) as u64;
    Some(scaled.saturating_add(config.queue_ahead_us).max(config.straggler_min_us))
}
