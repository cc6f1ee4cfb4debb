//! Preemption: when a tenant below its guarantee finds no room, attempts of tenants above their guarantee are stopped,
//! and their tasks become pending again.
//!
//! Every tenant has a small implicit guarantee: when none of its attempts runs, it receives the room of one attempt
//! from tenants that keep at least as much. So no tenant holds every slot with work that does not end. With a single
//! slot nothing is preempted, because the preempted tenant would be left with nothing.
//!
//! With short tasks, a place at the head of the queue is enough, because room frees up soon. So only attempts older
//! than [`crate::Config::guarantee_patience_us`], or [`crate::Config::fair_patience_us`] for the implicit guarantee,
//! are preempted, starting with the youngest, since they lose the least work. A preempted task has not failed: a
//! preemption counts neither as a failed attempt nor as a loss.

use crate::{
    Action, Core,
    dispatch::request,
    hash::IndexMap,
    node::{Load, Node, UNITS},
    placement::{EXAMINED, Request, filters},
    task::{Attempt, AttemptKey},
};
use fabric_types::{id::NodeId, job::TaskId};

const NOTHING: Load = Load { units: 0, mem: 0, gpus: 0, long: true };

/// The reason for a preemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreemptionReason {
    /// The tenant is below its guarantee.
    Guarantee,
    /// No attempt of the tenant is running.
    FairShare,
}

/// An attempt that may be preempted.
struct Victim {
    job: u32,
    task: TaskId,
    attempt: Attempt,
    tenant: u32,
    load: Load,
}

impl Core {
    /// Makes room for one attempt of a job whose tenant is below its guarantee or has no running attempt. Returns
    /// `true` on success.
    pub(crate) fn make_room(&mut self, ix: u32, actions: &mut Vec<Action>) -> bool {
        let Some(job) = self.jobs.get(&ix) else { return false };
        let Some(tenant) = self.queue.get(job.tenant) else { return false };
        let reason = if tenant.is_below(None, job.plan.gpus > 0) {
            PreemptionReason::Guarantee
        } else if tenant.is_starved() {
            PreemptionReason::FairShare
        } else {
            return false;
        };
        let again = match reason {
            PreemptionReason::Guarantee => self.next_preempt_at,
            PreemptionReason::FairShare => self.next_fair_preempt_at,
        };
        if again > self.now {
            return false;
        }
        let request = request(job, None);
        let nodes = self.nodes.iter().filter(|(_, node)| {
            filters::ready(node) && filters::suits(node, &request) && filters::could_fit(node, &request)
        });
        let best = nodes
            .take(EXAMINED)
            .filter_map(|(at, node)| Some((at, self.victims(at, node, job.tenant, &request, reason)?)))
            .min_by_key(|(_, victims)| victims.len());
        let Some((at, victims)) = best else {
            // The search is expensive, so do not repeat it with every event.
            let again = self.now.plus_us(self.config.parked_retry_us);
            match reason {
                PreemptionReason::Guarantee => self.next_preempt_at = again,
                PreemptionReason::FairShare => self.next_fair_preempt_at = again,
            }
            return false;
        };
        for victim in &victims {
            self.preempt_attempt(victim, actions);
        }
        self.promote_to_full_slots(at, self.patience_us(reason));
        true
    }

    /// Counts every old attempt on a node as occupying whole slots from now on, and expects the other tasks of its job
    /// to take at least as long. Otherwise short work would be sent behind it, and long work to the freed slot.
    fn promote_to_full_slots(&mut self, at: u32, patience_us: u64) {
        for (ix, task, attempt) in self.attempts_on(at) {
            let age = self.now.since_us(attempt.started);
            if age < patience_us {
                continue;
            }
            let speed = self.nodes.get(at).map_or(1.0, |node| node.speed);
            let Some(job) = self.jobs.get_mut(&ix) else { continue };
            #[allow(clippy::cast_precision_loss)]
            let least = age as f64 * speed;
            job.work_us = Some(job.work_us.map_or(least, |known| known.max(least)));
            let (before, demand, tenant) = (job.load(attempt.depth), job.demand(), job.tenant);
            let after = job.load(1);
            if before == after {
                continue;
            }
            job.promote_to_full_slots(task, attempt.number);
            let key = AttemptKey::new(ix, task, attempt.number);
            self.nodes.release(at, key, before);
            self.nodes.take(at, key, after);
            self.queue.release(tenant, before, demand);
            self.queue.take(tenant, after, demand);
        }
    }

    /// Selects attempts to preempt, youngest first, until the request fits on the node. Returns `None` if that is
    /// impossible or not needed.
    ///
    /// Deeply queued work counts as part of a slot, since several attempts share the slot in turn. Old work has turned
    /// out to be long, so each old attempt counts as whole slots here: the remaining attempts must leave a slot that is
    /// really free.
    fn victims(
        &self,
        at: u32,
        node: &Node,
        for_tenant: u32,
        request: &Request<'_>,
        reason: PreemptionReason,
    ) -> Option<Vec<Victim>> {
        let patience_us = self.patience_us(reason);
        let (mut units, mut mem, mut gpus) = (0, 0, 0);
        let mut more: IndexMap<u32, Load> = IndexMap::default();
        let mut all = Vec::new();
        for key in &node.attempts {
            let Some(job) = self.jobs.get(&key.job) else { continue };
            let Some(attempt) = job.running_of(key.task()).and_then(|r| r.find(key.number, at)) else { continue };
            let old = self.now.since_us(attempt.started) >= patience_us;
            let load = if old { job.load(1) } else { job.load(attempt.depth) };
            (units, mem, gpus) = (units + load.units, mem + load.mem, gpus + load.gpus);
            if old && job.tenant != for_tenant {
                let (counted, more) = (job.load(attempt.depth), more.entry(job.tenant).or_insert(NOTHING));
                more.units += load.units - counted.units;
                more.mem += load.mem - counted.mem;
                all.push(Victim { job: key.job, task: key.task(), attempt, tenant: job.tenant, load });
            }
        }
        all.sort_unstable_by_key(|v| (std::cmp::Reverse(v.attempt.started), std::cmp::Reverse((v.job, v.task))));
        let demand = request.demand;
        let fits = |units: u64, mem: u64, gpus: u32| {
            units + u64::from(demand.slots) * UNITS <= node.capacity()
                && mem.saturating_add(demand.memory) <= node.memory
                && gpus.saturating_add(demand.gpus) <= node.gpus
        };
        let mut losses: IndexMap<u32, Load> = IndexMap::default();
        let mut chosen = Vec::new();
        for victim in all {
            if fits(units, mem, gpus) {
                break;
            }
            let Some(tenant) = self.queue.get(victim.tenant) else { continue };
            let (loss, more) = (losses.entry(victim.tenant).or_insert(NOTHING), more.get(&victim.tenant));
            let more = more.copied().unwrap_or(NOTHING);
            let load = victim.load;
            let after = Load {
                units: loss.units + load.units,
                mem: loss.mem + load.mem,
                gpus: loss.gpus + load.gpus,
                long: true,
            };
            let less = Load {
                units: after.units.saturating_sub(more.units),
                mem: after.mem.saturating_sub(more.mem),
                ..after
            };
            // No tenant is pushed below its guarantee for another tenant.
            let too_little = match reason {
                PreemptionReason::Guarantee => tenant.is_below(Some(less), load.gpus > 0),
                PreemptionReason::FairShare => tenant.is_below_fair(less, demand, load.gpus > 0),
            };
            if too_little {
                continue;
            }
            *loss = after;
            (units, mem, gpus) = (units - load.units, mem - load.mem, gpus - load.gpus);
            chosen.push(victim);
        }
        (fits(units, mem, gpus) && !chosen.is_empty()).then_some(chosen)
    }

    fn patience_us(&self, reason: PreemptionReason) -> u64 {
        match reason {
            PreemptionReason::Guarantee => self.config.guarantee_patience_us,
            PreemptionReason::FairShare => self.config.fair_patience_us,
        }
    }

    /// Stops every attempt on a node that must become empty.
    pub(crate) fn evict(&mut self, node: &NodeId, actions: &mut Vec<Action>) {
        let Some(at) = self.nodes.find(node) else { return };
        for (job, task, attempt) in self.attempts_on(at) {
            let Some((tenant, load)) = self.jobs.get(&job).map(|job| (job.tenant, job.load(attempt.depth))) else {
                continue;
            };
            self.preempt_attempt(&Victim { job, task, attempt, tenant, load }, actions);
        }
    }

    fn preempt_attempt(&mut self, victim: &Victim, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&victim.job) else { return };
        Self::abort(&self.nodes, job, victim.task, victim.attempt, actions);
        let last = self.release(victim.job, victim.task, victim.attempt);
        self.stats.preempted += 1;
        if last && let Some(job) = self.jobs.get_mut(&victim.job) {
            job.pending += 1;
            self.enqueue_pending(victim.job, victim.task);
        }
        self.requeue(victim.job);
    }
}
