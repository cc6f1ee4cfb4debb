//! Leases: an attempt on a silent node counts as lost when its lease expires.
//!
//! An attempt's lease is the later of its own (from its dispatch) and its node's (from the last heartbeat). The node
//! must stop an attempt by the last `lease_until` that it received. An attempt that counts as lost here has therefore
//! stopped on the node, even if messages in between were lost.

use crate::{
    Action, Core, Time,
    core::Timer,
    hash::IndexSet,
    task::{Attempt, AttemptKey},
};
use fabric_types::{
    Code,
    id::{JobId, NodeId},
    job::TaskId,
};

impl Core {
    pub(crate) fn heartbeat(&mut self, node: &NodeId) {
        let until = self.now.plus_us(self.config.lease_us);
        let Some(ix) = self.nodes.find(node) else { return };
        let back = self.nodes.change(ix, |node| {
            node.lease_until = until;
            std::mem::take(&mut node.silent)
        });
        if back == Some(true) {
            self.unpark_all();
        }
        self.arm_lease(ix);
    }

    pub(crate) fn heartbeat_with_attempts(
        &mut self,
        node: &NodeId,
        held: &[(JobId, TaskId, u32)],
        actions: &mut Vec<Action>,
    ) {
        self.heartbeat(node);
        let Some(ix) = self.nodes.find(node) else { return };
        let held: IndexSet<AttemptKey> = held
            .iter()
            .filter_map(|(job, task, number)| Some(AttemptKey::new(*self.by_id.get(job)?, *task, *number)))
            .collect();
        let mut lost = self.attempts_on(ix);
        lost.retain(|(job, task, attempt)| {
            attempt.lease_until <= self.now && !held.contains(&AttemptKey::new(*job, *task, attempt.number))
        });
        self.mark_lost(lost, actions);
    }

    /// Schedules a check of the node's lease for the time at which it may expire.
    pub(crate) fn arm_lease(&mut self, ix: u32) {
        let at = self.now.plus_us(self.config.lease_us);
        let Some(node) = self.nodes.get(ix) else { return };
        if node.lease_timer || !node.up {
            return;
        }
        self.nodes.change(ix, |node| node.lease_timer = true);
        self.timers.insert((at, Timer::Lease { node: ix }));
    }

    pub(crate) fn lease_due(&mut self, ix: u32, actions: &mut Vec<Action>) {
        let now = self.now;
        self.nodes.change(ix, |node| node.lease_timer = false);
        let Some(node) = self.nodes.get(ix) else { return };
        if !node.up {
            return;
        }
        if node.lease_until > now {
            let at = node.lease_until;
            self.nodes.change(ix, |node| node.lease_timer = true);
            self.timers.insert((at, Timer::Lease { node: ix }));
            return;
        }
        let mut next: Option<Time> = None;
        let mut expired: Vec<(u32, TaskId, Attempt)> = Vec::new();
        for key in &node.attempts {
            let attempt = self
                .jobs
                .get(&key.job)
                .and_then(|job| job.running_of(key.task()))
                .and_then(|running| running.find(key.number, ix));
            let Some(attempt) = attempt else { continue };
            if attempt.lease_until <= now {
                expired.push((key.job, key.task(), attempt));
            } else {
                next = Some(next.map_or(attempt.lease_until, |n| n.min(attempt.lease_until)));
            }
        }
        self.nodes.change(ix, |node| node.silent = true);
        self.stats.expired += expired.len() as u64;
        self.mark_lost(expired, actions);
        if let Some(at) = next {
            self.nodes.change(ix, |node| node.lease_timer = true);
            self.timers.insert((at, Timer::Lease { node: ix }));
        }
    }

    /// Treats attempts as lost: aborts them and retries their tasks. Losses do not count as failed attempts, but have a
    /// bound of their own.
    pub(crate) fn mark_lost(&mut self, mut lost: Vec<(u32, TaskId, Attempt)>, actions: &mut Vec<Action>) {
        lost.sort_unstable_by_key(|(job, task, attempt)| (*job, *task, attempt.number));
        for (ix, id, attempt) in lost {
            let Some(job) = self.jobs.get(&ix) else { continue };
            Self::abort(&self.nodes, job, id, attempt, actions);
            let last = self.release(ix, id, attempt);
            if let Some(task) = self.jobs.get_mut(&ix).and_then(|job| job.task_mut(id)) {
                task.losses = task.losses.saturating_add(1);
            }
            if last {
                self.schedule_retry(ix, id, attempt.number, Code::NodeLost, actions);
            } else if let Some(job) = self.jobs.get_mut(&ix) {
                job.retries += 1;
            }
            self.finish_or_requeue(ix, actions);
        }
    }
}
