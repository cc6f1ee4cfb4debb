//! Turns to compile, fair between tenants.

use super::round_robin::{Bounds, Permit, Refused, RoundRobin};
use crate::options::CompileOptions;
use fabric_types::{Code, Fault, id::TenantId};

/// Modules of one tenant that wait for their turn.
const WAITING_PER_TENANT: usize = 16;

/// Modules that wait in total.
const WAITING: usize = 256;

/// Who compiles next.
pub(super) struct Queue(RoundRobin<TenantId>);

impl Queue {
    /// At least two modules are compiled at once and a tenant has at most half of the turns, so that one tenant's slow
    /// module keeps no other tenant waiting.
    pub(super) fn new(options: &CompileOptions) -> Self {
        let permits = options.concurrency.max(2);
        Self(RoundRobin::new(Bounds {
            permits,
            per_key: permits / 2,
            waiting_per_key: WAITING_PER_TENANT,
            waiting: WAITING,
        }))
    }

    /// Waits for the tenant's turn.
    ///
    /// # Errors
    /// `too-many-requests`.
    pub(super) async fn turn(&self, tenant: &TenantId) -> Result<Permit<TenantId>, Fault> {
        self.0.acquire(tenant.clone()).await.map_err(|refused| {
            let (whose, limit) = match refused {
                Refused::Key => ("this tenant's", WAITING_PER_TENANT),
                Refused::Total => ("all tenants'", WAITING),
            };
            Fault::new(Code::TooManyRequests, format!("{limit} of {whose} modules wait to be compiled"))
                .hint("deploy again when the others are done")
        })
    }
}
