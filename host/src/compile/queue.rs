//! The queue of modules to compile, fair between tenants.

use super::round_robin::{Bounds, Permit, Refused, RoundRobin};
use crate::options::CompileOptions;
use fabric_types::{Code, Fault, id::TenantId};

/// Maximum number of waiting modules of one tenant.
const WAITING_PER_TENANT: usize = 16;

/// Maximum number of waiting modules in total.
const WAITING: usize = 256;

/// The queue of modules to compile.
pub(super) struct Queue(RoundRobin<TenantId>);

impl Queue {
    /// Creates a queue. At least two modules compile at once, and a tenant holds at most half of the permits, so that
    /// one tenant's slow module does not block other tenants.
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
    /// `too-many-requests` if too many modules are waiting.
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
