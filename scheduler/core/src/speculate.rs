//! Stragglers: a running attempt that is much older than the usual time of its stage gets a copy on another node.
//!
//! A copy is sent only if no task of the job is pending and another node has room, and at most one per task. This is
//! the rule of MapReduce's backup tasks (Dean, Ghemawat 2004) with a threshold on measured times. The first result
//! wins. The completed part of the stage does not matter: a node that compiles the module, or is stuck, may hold a
//! large part of a small job.
//!
//! The usual time is the shorter of two: the usual time of the whole stage, and the time expected from the node's
//! speed. So a fast node that has become slow is detected before it is as late as the slowest node.

use crate::Config;

const SUB: u32 = 4;
const BUCKETS: usize = 41 * SUB as usize;

/// Measured wall times of a stage, in logarithmic buckets of a quarter of a power of two, so within 25%. An empty
/// instance allocates nothing, because most jobs are a single call.
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

    /// Returns the number of measurements.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Returns an upper bound of the `percent`th percentile in microseconds; `None` before any measurement.
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

/// The usual times of a stage, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTimes {
    /// 95th percentile of the times, over all nodes.
    pub wall_us: u64,
    /// 95th percentile of the times, normalised to a node of speed 1.
    pub work_us: u64,
}

impl StageTimes {
    /// Returns the speed of a node on which a task takes twice the usual wall time.
    #[must_use]
    pub fn least_speed(self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let (work, wall) = (self.work_us as f64, self.wall_us as f64);
        work / (wall * 2.0)
    }
}

/// Returns the usual times of a stage; `None` before three measurements.
#[must_use]
pub fn stage_times(walls: &WallTimes, works: &WallTimes) -> Option<StageTimes> {
    if walls.count() < 3 {
        return None;
    }
    Some(StageTimes { wall_us: walls.percentile_us(95)?, work_us: works.percentile_us(95)? })
}

/// Returns the age in microseconds beyond which an attempt on a node of this speed is a straggler.
#[must_use]
pub fn threshold_us(config: &Config, times: StageTimes, speed: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let late = ((times.wall_us as f64).min(times.work_us as f64 / speed) * config.straggler_factor.max(1.0)) as u64;
    late.saturating_add(config.queue_ahead_us).max(config.straggler_min_us)
}
