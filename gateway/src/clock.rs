//! The wall clock and fresh ids: the two things a request takes from outside itself.

use fabric_types::id::{InvocationId, JobId};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A generator of unpredictable-enough numbers for ids and weighted choices; never for secrets.
static STEP: AtomicU64 = AtomicU64::new(0);

fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without the system's randomness ids still differ by time and step.
        let _ = getrandom::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    })
}

/// The next number of a splitmix64 sequence (Steele, Lea, Flood 2014) with a random start.
#[must_use]
pub fn draw() -> u64 {
    let step = STEP.fetch_add(1, Ordering::Relaxed);
    let mut z = seed().wrapping_add(step.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn random() -> u128 {
    (u128::from(draw()) << 64) | u128::from(draw())
}

/// A fresh invocation id.
#[must_use]
pub fn invocation_id() -> InvocationId {
    InvocationId::from_parts(now_ms(), random())
}

/// A fresh job id.
#[must_use]
pub fn job_id() -> JobId {
    JobId::from_parts(now_ms(), random())
}
