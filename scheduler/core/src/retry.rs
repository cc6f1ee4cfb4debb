//! Retry delays: exponential backoff with jitter and a cap.
//!
//! The n-th retry waits between half and all of `min(cap, base × 2^(n-1))` ("equal jitter" in M. Brooker, "Exponential
//! Backoff and Jitter", AWS Architecture Blog, 2015). The jitter is a hash of job, task and n, so the same history
//! gives the same delays.

use crate::{Config, hash::mix};
use fabric_types::job::TaskId;

/// Returns the delay in microseconds before retry `n` (from 1) of a task. `seed` is the job's index in the core.
#[must_use]
pub fn backoff_us(config: &Config, seed: u64, task: TaskId, n: u32) -> u64 {
    let doublings = n.saturating_sub(1).min(40);
    let full = config.backoff_base_us.saturating_mul(1 << doublings).min(config.backoff_cap_us);
    let half = full / 2;
    let hash = mix(mix(seed ^ (u64::from(task.stage) << 32 | u64::from(task.index))) ^ u64::from(n));
    half + hash % (full - half + 1)
}
