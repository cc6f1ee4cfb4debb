//! The wall clock and the source of fresh ids.

use fabric_types::id::{InvocationId, JobId};
use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Returns the milliseconds since 1970 (UTC).
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Random numbers that are fetched from the system at a time.
const BATCH: usize = 64;

thread_local! {
    /// Numbers from the system's generator that this thread has not used yet.
    static DRAWN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Returns a number from the system's generator. Existing ids reveal nothing about future ids.
#[must_use]
pub fn draw() -> u64 {
    DRAWN.with_borrow_mut(|drawn| {
        if let Some(number) = drawn.pop() {
            return number;
        }
        let mut bytes = [0; 8 * BATCH];
        if getrandom::fill(&mut bytes).is_err() {
            return fallback();
        }
        let (numbers, _) = bytes.as_chunks::<8>();
        drawn.extend(numbers.iter().map(|n| u64::from_le_bytes(*n)));
        drawn.pop().unwrap_or_default()
    })
}

/// Returns a number for ids without the system's generator: ids still differ. Secrets are not generated in this case:
/// that fails instead.
fn fallback() -> u64 {
    static STEP: AtomicU64 = AtomicU64::new(0);
    let step = STEP.fetch_add(1, Ordering::Relaxed);
    let mut hash = blake3::Hasher::new_derive_key("fabric ids without randomness 1");
    hash.update(&step.to_le_bytes()).update(&now_ms().to_le_bytes()).update(&std::process::id().to_le_bytes());
    let mut bytes = [0; 8];
    hash.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn random() -> u128 {
    (u128::from(draw()) << 64) | u128::from(draw())
}

/// Returns a fresh invocation id.
#[must_use]
pub fn invocation_id() -> InvocationId {
    InvocationId::from_parts(now_ms(), random())
}

/// Returns a fresh job id.
#[must_use]
pub fn job_id() -> JobId {
    JobId::from_parts(now_ms(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_alike() {
        let drawn: std::collections::BTreeSet<u64> = (0..4 * BATCH).map(|_| draw()).collect();
        assert_eq!(drawn.len(), 4 * BATCH);
        let spare: std::collections::BTreeSet<u64> = (0..100).map(|_| fallback()).collect();
        assert_eq!(spare.len(), 100);
    }
}
