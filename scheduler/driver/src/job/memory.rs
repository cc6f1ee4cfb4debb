//! The memory account of open jobs: bounds the memory of jobs that have not ended, per tenant and in total.
//!
//! Jobs that an earlier owner accepted are charged but never refused.

use super::Planned;
use fabric_scheduler_core::{Time, plan};
use fabric_types::{Code, Fault, dataset::Partition, id::TenantId, units::ByteSize};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Default of the memory that open jobs may use.
pub const DEFAULT_OPEN_JOBS: ByteSize = ByteSize(1 << 30);

/// Memory of a job in addition to its tasks and its records: its events, and its place in lists and queues. Measured,
/// rounded up.
const PER_JOB: u64 = 4096;
/// Memory of a task, rounded up from 270 bytes, measured with four million tasks.
const PER_TASK: u64 = 288;

/// Returns the memory charge of a job: its tasks of all stages, its specification, and its inline items.
pub fn charge(planned: &Planned) -> u64 {
    let meta = &planned.meta;
    let tasks: u64 = plan::stages(&meta.plan(Time(0))).iter().map(|stage| u64::from(stage.tasks)).sum();
    let items: u64 = planned
        .partitions
        .iter()
        .map(|partition| match partition {
            Partition::Item(text) => text.len() as u64,
            // Slices of one object share its path.
            _ => 0,
        })
        .sum();
    let spec = serde_json::to_vec(&meta.spec).map_or(0, |text| text.len()) + meta.params.len();
    PER_JOB.saturating_add(tasks.saturating_mul(PER_TASK)).saturating_add(items).saturating_add(spec as u64)
}

/// The account of open jobs. Clones share it.
#[derive(Clone)]
pub struct OpenJobsAccount(Arc<Mutex<Account>>);

struct Account {
    most: u64,
    taken: u64,
    tenants: HashMap<TenantId, u64>,
}

/// The charge of one job, returned to the account on drop.
pub struct Place {
    room: OpenJobsAccount,
    tenant: TenantId,
    bytes: u64,
}

impl OpenJobsAccount {
    /// Creates an account of `most` bytes. A tenant may use half of them.
    pub fn new(most: ByteSize) -> Self {
        Self(Arc::new(Mutex::new(Account { most: most.0, taken: 0, tenants: HashMap::new() })))
    }

    /// Charges a new job.
    ///
    /// # Errors
    /// `invalid-input-spec` if the job alone is too large, `too-many-requests` if there is no room now.
    pub fn take(&self, tenant: &TenantId, bytes: u64) -> Result<Place, Fault> {
        let mut account = self.0.lock();
        let share = account.most / 2;
        let most = ByteSize(share);
        if bytes > share {
            let message =
                format!("the job would take {} of memory; a tenant's open jobs may take {most}", ByteSize(bytes));
            return Err(Fault::new(Code::InvalidInputSpec, message)
                .hint("use larger partitions; an operator can raise placement.open-jobs-memory"));
        }
        let own = account.tenants.get(tenant).copied().unwrap_or(0);
        if own.saturating_add(bytes) > share {
            let message = format!("the tenant's open jobs take {} of {most} of memory", ByteSize(own));
            return Err(Fault::new(Code::TooManyRequests, message)
                .hint("wait until some have ended, cancel some, or use larger partitions"));
        }
        if account.taken.saturating_add(bytes) > account.most {
            let message = format!("open jobs of all tenants take {} of memory", ByteSize(account.taken));
            return Err(Fault::new(Code::TooManyRequests, message)
                .hint("wait until some have ended; an operator can raise placement.open-jobs-memory"));
        }
        Ok(self.charge(&mut account, tenant, bytes))
    }

    /// Charges a job that was already accepted.
    pub fn take_accepted(&self, tenant: &TenantId, bytes: u64) -> Place {
        self.charge(&mut self.0.lock(), tenant, bytes)
    }

    fn charge(&self, account: &mut Account, tenant: &TenantId, bytes: u64) -> Place {
        account.taken = account.taken.saturating_add(bytes);
        let own = account.tenants.entry(tenant.clone()).or_default();
        *own = own.saturating_add(bytes);
        Place { room: self.clone(), tenant: tenant.clone(), bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut account = self.room.0.lock();
        account.taken = account.taken.saturating_sub(self.bytes);
        let left = account.tenants.get(&self.tenant).map_or(0, |own| own.saturating_sub(self.bytes));
        if left == 0 {
            account.tenants.remove(&self.tenant);
        } else {
            account.tenants.insert(self.tenant.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn refusal(taken: Result<Place, Fault>) -> Option<Code> {
        taken.err().map(|fault| fault.code)
    }

    #[test]
    fn a_tenant_has_half_and_gives_back_what_ends() {
        let room = OpenJobsAccount::new(ByteSize(1000));
        let (a, b) = (tenant("a"), tenant("b"));
        let first = room.take(&a, 300).unwrap();
        assert_eq!(refusal(room.take(&a, 201)), Some(Code::TooManyRequests));
        assert_eq!(refusal(room.take(&a, 501)), Some(Code::InvalidInputSpec));
        let other = room.take(&b, 500).unwrap();
        assert_eq!(refusal(room.take(&b, 1)), Some(Code::TooManyRequests));
        drop(first);
        let _whole = room.take(&a, 500).unwrap();
        assert_eq!(refusal(room.take(&tenant("c"), 1)), Some(Code::TooManyRequests));
        drop(other);
        assert!(room.take(&tenant("c"), 1).is_ok());
    }

    #[test]
    fn accepted_jobs_are_charged_and_not_refused() {
        let room = OpenJobsAccount::new(ByteSize(1000));
        let a = tenant("a");
        let places: Vec<_> = (0..3).map(|_| room.take_accepted(&a, 400)).collect();
        assert_eq!(refusal(room.take(&a, 1)), Some(Code::TooManyRequests));
        assert_eq!(refusal(room.take(&tenant("b"), 1)), Some(Code::TooManyRequests));
        drop(places);
        assert!(room.0.lock().tenants.is_empty() && room.0.lock().taken == 0);
    }
}
