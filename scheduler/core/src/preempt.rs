//! Room for guarantees: when a tenant below its guarantee finds no room, attempts of tenants that have more than theirs
//! are stopped for it, and their tasks wait for another turn.
//!
//! Being first in line is enough where tasks are short: room comes by itself. So only attempts older than
//! [`crate::Config::guarantee_patience_us`] are stopped, the youngest of them first, since they lose the least. A task
//! that was stopped so has not failed: it counts neither as an attempt nor as a loss.

use crate::{
    Action, Core,
    dispatch::request,
    hash::IndexMap,
    node::{Load, Node, UNITS},
    placement::{EXAMINED, Request, filters},
    task::Attempt,
};
use fabric_types::job::TaskId;

/// An attempt that may be stopped.
struct Victim {
    job: u32,
    task: TaskId,
    attempt: Attempt,
    tenant: u32,
    load: Load,
}

impl Core {
    /// Makes room for one attempt of a job whose tenant is below its guarantee. Says whether it did.
    pub(crate) fn make_room(&mut self, ix: u32, actions: &mut Vec<Action>) -> bool {
        let Some(job) = self.jobs.get(&ix) else { return false };
        let Some(tenant) = self.queue.get(job.tenant) else { return false };
        if !tenant.is_below(None, job.plan.gpus > 0) || self.preempt_again > self.now {
            return false;
        }
        let request = request(job, None);
        let nodes = self.nodes.iter().filter(|(_, node)| {
            filters::ready(node) && filters::suits(node, &request) && filters::could_fit(node, &request)
        });
        let best = nodes
            .take(EXAMINED)
            .filter_map(|(at, node)| self.victims(at, node, job.tenant, &request))
            .min_by_key(Vec::len);
        let Some(victims) = best else {
            // Looking again costs as much as looking: not with every event.
            self.preempt_again = self.now.plus_us(self.config.parked_retry_us);
            return false;
        };
        for victim in &victims {
            self.put_back(victim, actions);
        }
        true
    }

    /// The fewest attempts, youngest first, without which the request fits the node; none when there are not enough.
    fn victims(&self, at: u32, node: &Node, for_tenant: u32, request: &Request<'_>) -> Option<Vec<Victim>> {
        let mut all: Vec<Victim> = node
            .attempts
            .iter()
            .filter_map(|key| {
                let job = self.jobs.get(&key.job)?;
                let attempt = job.running_of(key.task())?.find(key.number, at)?;
                let old = self.now.since_us(attempt.started) >= self.config.guarantee_patience_us;
                let load = job.load(attempt.depth);
                let victim = Victim { job: key.job, task: key.task(), attempt, tenant: job.tenant, load };
                (old && job.tenant != for_tenant).then_some(victim)
            })
            .collect();
        all.sort_unstable_by_key(|v| (std::cmp::Reverse(v.attempt.started), v.job, v.task, v.attempt.number));
        let (mut units, mut mem, mut gpus) =
            (node.free_units(), node.memory.saturating_sub(node.mem), node.free_gpus());
        let mut losses: IndexMap<u32, Load> = IndexMap::default();
        let mut chosen = Vec::new();
        let demand = request.demand;
        let fits = |units: u64, mem: u64, gpus: u32| {
            units >= u64::from(demand.slots) * UNITS && mem >= demand.memory && gpus >= demand.gpus
        };
        for victim in all {
            if fits(units, mem, gpus) {
                break;
            }
            let Some(tenant) = self.queue.get(victim.tenant) else { continue };
            let loss = losses.entry(victim.tenant).or_insert(Load { units: 0, mem: 0, gpus: 0, long: false });
            let after = Load {
                units: loss.units + victim.load.units,
                mem: loss.mem + victim.load.mem,
                gpus: loss.gpus + victim.load.gpus,
                long: false,
            };
            // Nobody is pushed below a guarantee for another's.
            if tenant.is_below(Some(after), victim.load.gpus > 0) {
                continue;
            }
            *loss = after;
            units += victim.load.units;
            mem += victim.load.mem;
            gpus += victim.load.gpus;
            chosen.push(victim);
        }
        (fits(units, mem, gpus) && !chosen.is_empty()).then_some(chosen)
    }

    fn put_back(&mut self, victim: &Victim, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&victim.job) else { return };
        Self::abort(&self.nodes, job, victim.task, victim.attempt, actions);
        let last = self.release(victim.job, victim.task, victim.attempt);
        self.stats.preempted += 1;
        if last && let Some(job) = self.jobs.get_mut(&victim.job) {
            job.pending += 1;
            job.retry.push_back((victim.task, self.now));
        }
        self.requeue(victim.job);
    }
}
