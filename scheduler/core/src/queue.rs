//! Whose turn it is: fair share between tenants, then priority and age within one.
//!
//! Tenants below their guarantee go first; then the one that uses the least for its weight now (weighted max-min
//! fairness); among equals the one that was served least so far (virtual time: served slot-time over weight, as in
//! start-time fair queuing, Goyal, Vin, Cheng 1996). A tenant that comes back after being idle starts at the virtual
//! time of those that stayed, so idleness saves up nothing.

use crate::{TenantQuota, hash::IndexSet};
use fabric_types::id::TenantId;
use std::collections::{BTreeSet, HashMap};

type Key = (bool, u64, u64, u32);
/// Highest priority first, then the oldest.
pub(crate) type JobKey = (std::cmp::Reverse<i32>, crate::Time, u32);

#[derive(Debug)]
pub(crate) struct Tenant {
    pub id: TenantId,
    pub quota: TenantQuota,
    /// Slot units that its attempts occupy.
    pub units: u64,
    /// Slots of its attempts, however deep they are queued: what the limit counts.
    pub slots: u64,
    vtime: u64,
    ready: BTreeSet<JobKey>,
    key: Option<Key>,
}

impl Tenant {
    /// Slots that the limit leaves.
    pub fn room(&self) -> u64 {
        self.quota.limit.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(self.slots))
    }
}

/// The tenants and their jobs that have something to run.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    all: Vec<Tenant>,
    by_id: HashMap<TenantId, u32>,
    active: BTreeSet<Key>,
    vtime: u64,
}

impl Queue {
    pub fn intern(&mut self, id: &TenantId) -> u32 {
        if let Some(ix) = self.by_id.get(id) {
            return *ix;
        }
        let ix = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Tenant {
            id: id.clone(),
            quota: TenantQuota::default(),
            units: 0,
            slots: 0,
            vtime: 0,
            ready: BTreeSet::new(),
            key: None,
        });
        self.by_id.insert(id.clone(), ix);
        ix
    }

    pub fn get(&self, ix: u32) -> Option<&Tenant> {
        self.all.get(ix as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Tenant)> {
        (0u32..).zip(self.all.iter())
    }

    pub fn quota_room(&self, id: &TenantId) -> u64 {
        self.by_id.get(id).and_then(|ix| self.get(*ix)).map_or(u64::MAX, Tenant::room)
    }

    pub fn set_quota(&mut self, ix: u32, quota: TenantQuota) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.quota = quota;
        }
        self.refresh(ix);
    }

    pub fn insert(&mut self, ix: u32, job: JobKey) {
        let floor = self.vtime;
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            if tenant.ready.is_empty() && tenant.units == 0 {
                tenant.vtime = tenant.vtime.max(floor);
            }
            tenant.ready.insert(job);
        }
        self.refresh(ix);
    }

    pub fn remove(&mut self, ix: u32, job: &JobKey) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.ready.remove(job);
        }
        self.refresh(ix);
    }

    pub fn take(&mut self, ix: u32, units: u64, slots: u32) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.units += units;
            tenant.slots += u64::from(slots);
        }
        self.refresh(ix);
    }

    pub fn release(&mut self, ix: u32, units: u64, slots: u32) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.units -= units;
            tenant.slots -= u64::from(slots);
        }
        self.refresh(ix);
    }

    /// Charges `slot_us` of service.
    pub fn charge(&mut self, ix: u32, slot_us: u64) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            let weight = u64::from(tenant.quota.weight.max(1));
            tenant.vtime = tenant.vtime.saturating_add(slot_us.saturating_mul(16) / weight);
        }
        self.refresh(ix);
    }

    /// The tenant whose turn it is and its first job.
    pub fn first(&mut self) -> Option<(u32, u32)> {
        let (_, _, vtime, ix) = *self.active.first()?;
        self.vtime = self.vtime.max(vtime);
        let job = self.get(ix)?.ready.first()?;
        Some((ix, job.2))
    }

    /// Tenants that have something to run and may.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    fn refresh(&mut self, ix: u32) {
        let Some(tenant) = self.all.get_mut(ix as usize) else { return };
        let weight = u64::from(tenant.quota.weight.max(1));
        let above = tenant.units >= u64::from(tenant.quota.guarantee) * crate::node::UNITS;
        let key = (!tenant.ready.is_empty() && tenant.room() > 0)
            .then(|| (above, tenant.units.saturating_mul(16) / weight, tenant.vtime, ix));
        if key != tenant.key {
            if let Some(old) = tenant.key.take() {
                self.active.remove(&old);
            }
            if let Some(new) = key {
                self.active.insert(new);
            }
            tenant.key = key;
        }
    }

    pub fn check(&self, ready: &IndexSet<u32>) -> Result<(), String> {
        let queued: IndexSet<u32> = self.all.iter().flat_map(|t| t.ready.iter().map(|k| k.2)).collect();
        if &queued != ready {
            return Err("the queue does not hold exactly the jobs that say so".to_owned());
        }
        if self.all.iter().filter_map(|t| t.key).ne(self
            .all
            .iter()
            .filter_map(|t| t.key)
            .filter(|k| self.active.contains(k)))
        {
            return Err("a tenant's key is not among the active ones".to_owned());
        }
        Ok(())
    }
}
