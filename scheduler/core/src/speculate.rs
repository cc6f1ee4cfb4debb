//! Stragglers: a running attempt that is much older than its stage's usual time gets a second copy elsewhere.
//!
//! Only when nothing of the job waits any more and another node has room, at most one copy per task: the rule of
//! MapReduce's backup tasks (Dean, Ghemawat 2004) with a threshold on measured times. The first result wins. How much of
//! the stage is done does not matter: a node that compiles the module, or is stuck, may hold a large part of a small job.
//!
//! Usual is what the whole stage takes, or what this node should take by its speed, whichever is shorter: a fast node
//! that has become slow is found before it is as late as the slowest.

use crate::Config;

const SUB: u32 = 4;
const BUCKETS: usize = 41 * SUB as usize;

/// Measured wall times of a stage, in logarithmic buckets of a quarter of a power of two, so within 25%.
/// An empty one takes no memory: most jobs are one call.
#[derive(Debug, Clone, Default)]
pub struct WallTimes {
    counts: Option<Box<[u32; BUCKETS]>>,
    total: u64,
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
        if let Some(n) = self.counts.get_or_insert_with(|| Box::new([0; BUCKETS])).get_mut(bucket(us)) {
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
        self.counts.as_ref()?.iter().enumerate().find_map(|(at, n)| {
            seen += u64::from(*n);
            (self.total > 0 && seen >= want).then(|| upper_us(at))
        })
    }
}

/// What is usual in a stage, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// 95th percentile of the times, on whatever nodes.
    pub wall_us: u64,
    /// 95th percentile of the times on a node of speed 1.
    pub work_us: u64,
}

impl Usual {
    /// The pace of a node on which a task takes twice as long as is usual on whatever nodes.
    #[must_use]
    pub fn least_pace(self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let (work, wall) = (self.work_us as f64, self.wall_us as f64);
        work / (wall * 2.0)
    }
}

/// What is usual in a stage; none while too little was measured.
#[must_use]
pub fn usual(walls: &WallTimes, works: &WallTimes) -> Option<Usual> {
    if walls.count() < 3 {
        return None;
    }
    Some(Usual { wall_us: walls.percentile_us(95)?, work_us: works.percentile_us(95)? })
}

/// Age in microseconds beyond which an attempt on a node of this speed is a straggler.
#[must_use]
pub fn threshold_us(config: &Config, usual: Usual, speed: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let late = ((usual.wall_us as f64).min(usual.work_us as f64 / speed) * config.straggler_factor.max(1.0)) as u64;
    late.saturating_add(config.queue_ahead_us).max(config.straggler_min_us)
}
