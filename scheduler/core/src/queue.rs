//! Fair order: fair share between tenants, then priority and age within a tenant.
//!
//! Tenants below their guarantee go first (`preempt.rs` handles the case in which that is not enough). The next is the
//! tenant with the lowest current use for its weight (weighted max-min fairness). Among equals, it is the tenant that
//! was served least so far (virtual time: served slot-time over weight, as in start-time fair queuing, Goyal, Vin,
//! Cheng 1996). A tenant that returns from idleness starts at the current virtual time of the queue, so it cannot save
//! up credit while idle.

use crate::{
    TenantQuota,
    hash::IndexSet,
    node::{Demand, Load, UNITS},
};
use fabric_types::{id::TenantId, units::ByteSize};
use std::collections::{BTreeSet, HashMap};

type Key = (bool, u64, u64, u32);
/// Order of a tenant's jobs: highest priority first, then the oldest. The last element: `true` if it needs GPUs.
pub(crate) type JobKey = (std::cmp::Reverse<i32>, crate::Time, u32, bool);

#[derive(Debug)]
pub(crate) struct Tenant {
    pub id: TenantId,
    pub quota: TenantQuota,
    /// Slot units that its attempts occupy.
    pub units: u64,
    /// Slots of its attempts, regardless of queue depth. The limit applies to these.
    pub slots: u64,
    /// Memory that its attempts occupy, divided by queue depth like `units`.
    pub mem: u64,
    /// Memory of its attempts, regardless of queue depth like `slots`.
    pub memory: u64,
    /// GPUs of its attempts.
    pub gpus: u64,
    vtime: u64,
    ready: BTreeSet<JobKey>,
    key: Option<Key>,
}

impl Tenant {
    /// Returns the slots, memory and GPUs that the limit leaves.
    fn left(&self) -> [u64; 3] {
        let limit = &self.quota.limit;
        let left = |limit: Option<u64>, used: u64| limit.map_or(u64::MAX, |limit| limit.saturating_sub(used));
        [
            left(limit.cpu_slots.map(u64::from), self.slots),
            left(limit.memory_bytes.map(|m| m.0), self.memory),
            left(limit.gpus.map(u64::from), self.gpus),
        ]
    }

    /// Returns how many more such attempts the limit allows.
    pub fn room(&self, demand: Demand) -> u64 {
        let [slots, memory, gpus] = self.left();
        let fit = |left: u64, each: u64| {
            let bounded = left < u64::MAX;
            left.checked_div(each).filter(|_| bounded).unwrap_or(u64::MAX)
        };
        fit(slots, u64::from(demand.slots)).min(fit(memory, demand.memory)).min(fit(gpus, u64::from(demand.gpus)))
    }

    /// Returns the reason that the limit allows no such attempt; `None` if it allows one.
    pub fn refusal(&self, demand: Demand) -> Option<String> {
        let [slots, memory, gpus] = self.left();
        let (id, limit) = (&self.id, &self.quota.limit);
        let of = |used: String, limit: String| format!("tenant {id} uses {used} of its limit of {limit}");
        if slots < u64::from(demand.slots) {
            let most = limit.cpu_slots.unwrap_or(0);
            return Some(of(self.slots.to_string(), count(u64::from(most), "slot")));
        }
        if memory < demand.memory {
            let most = limit.memory_bytes.unwrap_or_default();
            return Some(of(ByteSize(self.memory).to_string(), format!("{most} of memory")));
        }
        if gpus < u64::from(demand.gpus) {
            let most = limit.gpus.unwrap_or(0);
            return Some(of(self.gpus.to_string(), count(u64::from(most), "GPU")));
        }
        None
    }

    /// Reports whether the tenant would be below its guarantee without `less`. GPUs count if its next job needs them.
    pub fn is_below(&self, less: Option<Load>, needs_gpus: bool) -> bool {
        let guarantee = &self.quota.guarantee;
        let less = less.unwrap_or(Load { units: 0, mem: 0, gpus: 0, long: false });
        self.units.saturating_sub(less.units) < u64::from(guarantee.cpu_slots) * UNITS
            || self.mem.saturating_sub(less.mem) < guarantee.memory_bytes.0
            || (needs_gpus && self.gpus.saturating_sub(u64::from(less.gpus)) < u64::from(guarantee.gpus))
    }
}

impl Tenant {
    /// Reports whether the tenant has no attempt on any node.
    pub fn is_starved(&self) -> bool {
        self.slots == 0
    }

    /// Reports whether the tenant, without `less`, would be below its guarantee or have too little for such an attempt.
    pub fn is_below_fair(&self, less: Load, demand: Demand, needs_gpus: bool) -> bool {
        self.is_below(Some(less), needs_gpus)
            || self.units.saturating_sub(less.units) < u64::from(demand.slots.max(1)) * UNITS
            || (needs_gpus && self.gpus.saturating_sub(u64::from(less.gpus)) < u64::from(demand.gpus))
    }
}

/// Formats a count with its noun: `1 slot`, `2 slots`.
pub(crate) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The tenants and their jobs with tasks to run.
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
            mem: 0,
            memory: 0,
            gpus: 0,
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

    pub fn find(&self, id: &TenantId) -> Option<&Tenant> {
        self.by_id.get(id).and_then(|ix| self.get(*ix))
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

    pub fn take(&mut self, ix: u32, load: Load, demand: Demand) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.units += load.units;
            tenant.mem += load.mem;
            tenant.slots += u64::from(demand.slots);
            tenant.memory += demand.memory;
            tenant.gpus += u64::from(demand.gpus);
        }
        self.refresh(ix);
    }

    pub fn release(&mut self, ix: u32, load: Load, demand: Demand) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            tenant.units -= load.units;
            tenant.mem -= load.mem;
            tenant.slots -= u64::from(demand.slots);
            tenant.memory -= demand.memory;
            tenant.gpus -= u64::from(demand.gpus);
        }
        self.refresh(ix);
    }

    /// Charges `slot_us` of service to a tenant.
    pub fn charge(&mut self, ix: u32, slot_us: u64) {
        if let Some(tenant) = self.all.get_mut(ix as usize) {
            let weight = u64::from(tenant.quota.weight.max(1));
            tenant.vtime = tenant.vtime.saturating_add(slot_us.saturating_mul(16) / weight);
        }
        self.refresh(ix);
    }

    /// Returns the tenant that is next in fair order, and its first job.
    pub fn first(&mut self) -> Option<(u32, u32)> {
        let (_, _, vtime, ix) = *self.active.first()?;
        self.vtime = self.vtime.max(vtime);
        let job = self.get(ix)?.ready.first()?;
        Some((ix, job.2))
    }

    /// Returns the first tenant above its guarantee, if it has no running attempt, and its first job.
    pub fn first_starved(&self) -> Option<(u32, u32)> {
        let (_, _, _, ix) = *self.active.range((true, 0, 0, 0)..).next()?;
        let tenant = self.get(ix).filter(|tenant| tenant.is_starved())?;
        Some((ix, tenant.ready.first()?.2))
    }

    /// Reports whether the tenant goes before others because it is below its guarantee.
    pub fn goes_first(&self, ix: u32) -> bool {
        self.get(ix).and_then(|tenant| tenant.key).is_some_and(|(above, ..)| !above)
    }

    /// Returns the number of tenants with a ready job and room within their limit.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    fn refresh(&mut self, ix: u32) {
        let Some(tenant) = self.all.get_mut(ix as usize) else { return };
        let weight = u64::from(tenant.quota.weight.max(1));
        let [slots, memory, _] = tenant.left();
        let key = tenant.ready.first().filter(|_| slots > 0 && memory > 0).map(|first| {
            let above = !tenant.is_below(None, first.3);
            (above, tenant.units.saturating_mul(16) / weight, tenant.vtime, ix)
        });
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
            return Err("the queue does not hold exactly the queued jobs".to_owned());
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
