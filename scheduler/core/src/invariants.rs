//! Invariants that hold after every step, recomputed from scratch. The check visits all state, so only tests and the
//! simulation use it.

use crate::{
    Core,
    hash::{IndexMap, IndexSet},
    node::PerNode,
    task::AttemptKey,
};
use fabric_types::job::{TaskId, TaskState};

macro_rules! ensure {
    ($cond:expr, $($why:tt)*) => { if !$cond { return Err(format!($($why)*)); } };
}

impl Core {
    /// Checks every count, index and limit against the tasks and attempts.
    ///
    /// # Errors
    /// A description of the first violated invariant.
    pub fn invariants(&self) -> Result<(), String> {
        let mut on_node: IndexMap<u32, (u64, u64, u64, u32, IndexSet<AttemptKey>)> = IndexMap::default();
        let mut of_tenant: IndexMap<u32, [u64; 5]> = IndexMap::default();
        let mut queued = IndexSet::default();
        ensure!(self.jobs.len() == self.by_id.len(), "jobs and their ids differ");
        for (ix, job) in &self.jobs {
            let id = job.id();
            ensure!(!job.complete(), "job {id} is complete but still active");
            let (mut pending, mut backoff, mut succeeded, mut running, mut given_up, mut held_back) =
                (0, 0, 0, 0, 0, 0);
            for (at, stage) in job.stages.iter().enumerate() {
                let mut done = 0;
                for (index, task) in stage.tasks.iter().enumerate() {
                    match task.state {
                        TaskState::Pending => pending += 1,
                        TaskState::Backoff => backoff += 1,
                        TaskState::Succeeded => done += 1,
                        TaskState::Running => {
                            running += 1;
                            let named = job
                                .running(task)
                                .is_some_and(|r| usize::from(r.task.stage) == at && r.task.index as usize == index);
                            ensure!(named, "job {id}: task {at}/{index} is running without an attempt");
                        }
                        TaskState::Blocked => {
                            ensure!(at > 0 && task.link > 0, "job {id}: {at}/{index} is blocked by nothing")
                        }
                        TaskState::Failed => {
                            done += 1;
                            given_up += 1;
                        }
                        TaskState::Cancelled => {
                            return Err(format!("job {id}: {at}/{index} ended alone"));
                        }
                    }
                    if task.suspect && task.state == TaskState::Pending {
                        held_back += 1;
                        let id = TaskId { stage: at as u16, index: index as u32 };
                        ensure!(self.suspects.is_waiting(*ix, id), "job {id}: suspect {at}/{index} is in no queue");
                    }
                    ensure!(
                        // A speculative copy may still run, or have succeeded, after the task's last failure.
                        matches!(task.state, TaskState::Running | TaskState::Succeeded | TaskState::Failed)
                            || u32::from(task.failures) < job.plan.max_attempts,
                        "job {id}: {at}/{index} failed {} times and is still active",
                        task.failures
                    );
                }
                ensure!(done == stage.done, "job {id}: stage {at} counts {} done, has {done}", stage.done);
                succeeded += u64::from(done);
            }
            let (lost, most) = (job.dead + job.skipped, job.plan.allow_failed);
            ensure!(given_up == lost, "job {id}: counts {lost} tasks given up on, has {given_up}");
            ensure!(job.dead <= most, "job {id}: gave up on {} tasks, allowed {most}", job.dead);
            succeeded -= u64::from(given_up);
            ensure!(pending == job.pending, "job {id}: counts {} pending, has {pending}", job.pending);
            ensure!(backoff == job.backoff, "job {id}: counts {} in backoff, has {backoff}", job.backoff);
            ensure!(succeeded == job.succeeded, "job {id}: counts {} succeeded, has {succeeded}", job.succeeded);
            ensure!(running == job.running_tasks, "job {id}: counts {} running, has {running}", job.running_tasks);
            ensure!(held_back == job.held_back, "job {id}: counts {} held back, has {held_back}", job.held_back);
            ensure!(job.unblocked.is_empty(), "job {id}: suspects with complete inputs are in no queue");
            let mut per_node = PerNode::default();
            let mut out = 0;
            for entry in job.all_running() {
                for attempt in entry.attempts() {
                    out += 1;
                    *per_node.entry(attempt.node).or_default() += 1;
                    let load = job.load(attempt.depth);
                    let node = on_node.entry(attempt.node).or_default();
                    node.0 += load.units;
                    node.1 += load.mem;
                    node.2 += if load.long { load.units } else { 0 };
                    node.3 += load.gpus;
                    node.4.insert(AttemptKey::new(*ix, entry.task, attempt.number));
                    let tenant = of_tenant.entry(job.tenant).or_default();
                    let demand = job.demand();
                    let (slots, gpus) = (u64::from(demand.slots), u64::from(demand.gpus));
                    for (sum, one) in tenant.iter_mut().zip([load.units, slots, load.mem, demand.memory, gpus]) {
                        *sum += one;
                    }
                    let lease = self.nodes.get(attempt.node).map_or(attempt.lease_until, |n| n.lease_until);
                    ensure!(
                        attempt.lease_until.max(lease) > self.now,
                        "job {id}: attempt {} of {} outlives its lease",
                        attempt.number,
                        entry.task
                    );
                }
                if let Some(copy) = entry.copy {
                    ensure!(copy.node != entry.first.node, "job {id}: both copies of {} are on one node", entry.task);
                }
            }
            ensure!(out == job.outstanding, "job {id}: counts {} attempts, has {out}", job.outstanding);
            ensure!(per_node == job.per_node, "job {id}: attempts per node are miscounted");
            ensure!(
                job.plan.concurrency == 0 || out <= job.plan.concurrency,
                "job {id}: {out} attempts, over its concurrency"
            );
            ensure!(
                job.queued == (job.is_schedulable() && !job.parked),
                "job {id}: queued {}, wants {}",
                job.queued,
                job.is_schedulable()
            );
            ensure!(!job.parked || self.parked.contains(ix), "job {id}: parked but not in the parked queue");
            ensure!(!job.parked || self.parked_timer, "job {id}: parked without a timer");
            if job.queued {
                queued.insert(*ix);
            }
        }
        for (ix, node) in self.nodes.iter() {
            let (units, mem, long, gpus, attempts) = on_node.remove(&ix).unwrap_or_default();
            ensure!(
                (units, mem, long, gpus) == (node.units, node.mem, node.long_units, node.gpus_taken)
                    && attempts == node.attempts,
                "node {}: counts {} units in {} attempts, has {units} in {}",
                node.id,
                node.units,
                node.attempts.len(),
                attempts.len()
            );
            ensure!(node.up || attempts.is_empty(), "node {} is down and has attempts", node.id);
            let reserved = self.suspects.reserved() == Some(ix);
            ensure!(node.reserved == reserved, "node {}: reserved {}, known as {reserved}", node.id, node.reserved);
            if let Some((key, _)) = node.exclusive {
                ensure!(node.attempts.contains(&key), "node {} is reserved for an unknown attempt", node.id);
            }
            ensure!(attempts.is_empty() || node.lease_timer, "node {}: has attempts but no lease timer", node.id);
        }
        ensure!(on_node.is_empty(), "attempts on nodes that do not exist");
        for (ix, tenant) in self.queue.iter() {
            let found = of_tenant.remove(&ix).unwrap_or_default();
            let counted = [tenant.units, tenant.slots, tenant.mem, tenant.memory, tenant.gpus];
            ensure!(found == counted, "tenant {}: counts {counted:?}, has {found:?}", tenant.id);
        }
        self.nodes.check()?;
        self.queue.check(&queued)
    }
}
