//! Backoff for tenants whose GPU submits exceed their deadline. Such a submit can be stopped only by ending the worker
//! process, which costs all guests on the node their buffers. A tenant that does it repeatedly waits longer and longer
//! before its next submit.

use fabric_gpu::Error;
use fabric_types::id::TenantId;
use std::time::{Duration, Instant};

/// Exceeded deadlines without consequences, since the run time of a shader is easy to misjudge.
const FREE: u32 = 3;
/// The first wait, and the maximum. Each further deadline doubles the wait.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(300);
/// Time after the last exceeded deadline at which a tenant's record expires.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Maximum number of tenants with a record.
const TENANTS: u64 = 10_000;

#[derive(Clone, Copy)]
struct Record {
    deadlines: u32,
    until: Instant,
}

/// Records of exceeded deadlines, by tenant.
pub(crate) struct DeadlineBackoff(moka::sync::Cache<TenantId, Record>);

/// Returns the wait after a number of exceeded deadlines.
fn wait(deadlines: u32) -> Duration {
    match deadlines.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(2_u32.saturating_pow(more)).min(LAST),
    }
}

impl DeadlineBackoff {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(TENANTS).time_to_live(FORGOTTEN).build())
    }

    /// Records that a submit of this tenant exceeded its deadline.
    pub(crate) fn add(&self, tenant: &TenantId) {
        self.0.entry_by_ref(tenant).and_upsert_with(|before| {
            let deadlines = before.map_or(0, |entry| entry.into_value().deadlines).saturating_add(1);
            Record { deadlines, until: Instant::now() + wait(deadlines) }
        });
    }

    /// Checks that the tenant may submit now.
    ///
    /// # Errors
    /// `busy`, with the remaining wait.
    pub(crate) fn check(&self, tenant: &TenantId) -> Result<(), Error> {
        let Some(record) = self.0.get(tenant) else { return Ok(()) };
        let left = record.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        Err(Error::Busy(format!(
            "{} recent submits of this tenant exceeded their deadline, which reset the device for all guests; wait {} s",
            record.deadlines,
            left.as_secs() + 1
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_deadlines_are_free_and_more_cost_ever_more_up_to_a_bound() {
        let waits: Vec<u64> = [1, 3, 4, 5, 8, 12, 13, 100, u32::MAX].map(|n| wait(n).as_secs()).into();
        assert_eq!(waits, [0, 0, 1, 2, 16, 256, 300, 300, 300]);
        let (backoff, noisy, calm) =
            (DeadlineBackoff::new(), TenantId::new("noisy").unwrap(), TenantId::new("calm").unwrap());
        for _ in 0..FREE {
            backoff.add(&noisy);
            backoff.check(&noisy).unwrap();
        }
        for _ in FREE..12 {
            backoff.add(&noisy);
        }
        let refused = backoff.check(&noisy).unwrap_err();
        assert!(matches!(&refused, Error::Busy(why) if why.starts_with("12 recent submits")), "{refused}");
        backoff.check(&calm).unwrap();
    }
}
