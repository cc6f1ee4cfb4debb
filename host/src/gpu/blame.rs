//! Whose submits run into their deadline. Each one costs everybody on the node their buffers, since only the end of the
//! worker stops it: a tenant that does it again and again waits longer and longer before its next submit.

use fabric_gpu::Error;
use fabric_types::id::TenantId;
use std::time::{Duration, Instant};

/// Deadlines that a tenant may run into without further consequences, since anyone may misjudge a shader.
const FREE: u32 = 3;
/// The first wait; each further deadline doubles it, up to the last.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(300);
/// After so long without another one all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Tenants that are remembered.
const TENANTS: u64 = 10_000;

#[derive(Clone, Copy)]
struct Record {
    deadlines: u32,
    until: Instant,
}

/// What is remembered of tenants.
pub(crate) struct Blame(moka::sync::Cache<TenantId, Record>);

/// How long to wait after so many deadlines.
fn wait(deadlines: u32) -> Duration {
    match deadlines.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(2_u32.saturating_pow(more)).min(LAST),
    }
}

impl Blame {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(TENANTS).time_to_live(FORGOTTEN).build())
    }

    /// A submit of this tenant ran into its deadline.
    pub(crate) fn add(&self, tenant: &TenantId) {
        self.0.entry_by_ref(tenant).and_upsert_with(|before| {
            let deadlines = before.map_or(0, |entry| entry.into_value().deadlines).saturating_add(1);
            Record { deadlines, until: Instant::now() + wait(deadlines) }
        });
    }

    /// Whether it may submit now.
    ///
    /// # Errors
    /// `busy`, with how long to wait.
    pub(crate) fn check(&self, tenant: &TenantId) -> Result<(), Error> {
        let Some(record) = self.0.get(tenant) else { return Ok(()) };
        let left = record.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        Err(Error::Busy(format!(
            "{} submits of this tenant ran into their deadline lately, which took the device from everybody; wait {} s",
            record.deadlines,
            left.as_secs() + 1
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_few_deadlines_are_free_and_more_cost_ever_more_up_to_a_bound() {
        let waits: Vec<u64> = [1, 3, 4, 5, 8, 12, 13, 100, u32::MAX].map(|n| wait(n).as_secs()).into();
        assert_eq!(waits, [0, 0, 1, 2, 16, 256, 300, 300, 300]);
        let (blame, noisy, calm) = (Blame::new(), TenantId::new("noisy").unwrap(), TenantId::new("calm").unwrap());
        for _ in 0..FREE {
            blame.add(&noisy);
            blame.check(&noisy).unwrap();
        }
        for _ in FREE..12 {
            blame.add(&noisy);
        }
        let refused = blame.check(&noisy).unwrap_err();
        assert!(matches!(&refused, Error::Busy(why) if why.starts_with("12 submits")), "{refused}");
        blame.check(&calm).unwrap();
    }
}
