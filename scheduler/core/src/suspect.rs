//! Suspects: tasks that were running on a process when it died. Any of them may have killed it.
//!
//! The next attempt of a suspect has a node to itself. A second death then identifies its cause, and a suspect that did
//! not cause the first one is cleared by its result. Such an attempt keeps others off its node for
//! [`crate::Config::exclusive_us`] at first, and for ten times as long after each further death: a guest that kills its
//! process late is found as well, and a guest that only runs long does not hold a node forever. Attempts of other
//! suspects that remain on a node after that period do not keep the next suspect off it.
//!
//! If every node is busy, one of them receives no new work until it is empty. Work that takes longer than
//! [`crate::Config::drain_for_suspect_us`] is not waited for. A death with other work on the process counts as well,
//! but only [`crate::Config::max_deaths_shared`] of them dead-letter a task. See docs/adr/0010 for the reason that two
//! deaths are enough.

use crate::{
    Action, Core, Time,
    core::Timer,
    dispatch::request,
    hash::IndexMap,
    node::Node,
    placement::{Candidate, Request, filters},
    task::AttemptKey,
};
use fabric_types::{
    Code,
    id::JobId,
    job::{TaskId, TaskState},
};
use std::collections::VecDeque;

/// Waiting suspects that one round examines.
const EXAMINED: usize = 16;

/// The suspects of all jobs.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Deaths counted for each suspect.
    deaths: IndexMap<(u32, TaskId), u32>,
    /// Pending suspects, in the order in which they are placed.
    waiting: VecDeque<(u32, TaskId)>,
    /// Node that is being emptied, and the end of that period.
    reserved: Option<(u32, Time)>,
}

impl Suspects {
    pub fn is_waiting(&self, ix: u32, id: TaskId) -> bool {
        self.waiting.contains(&(ix, id))
    }

    pub fn reserved(&self) -> Option<u32> {
        self.reserved.map(|(node, _)| node)
    }

    /// Removes the suspects of a job.
    pub fn forget(&mut self, ix: u32) {
        if !self.deaths.is_empty() {
            self.deaths.retain(|(job, _), _| *job != ix);
            self.waiting.retain(|(job, _)| *job != ix);
        }
    }
}

impl Core {
    pub(crate) fn killed(&mut self, job: &JobId, id: TaskId, alone: bool, actions: &mut Vec<Action>) {
        let found = self.by_id.get(job).copied();
        let state = found.and_then(|ix| Some((ix, self.jobs.get(&ix)?.task(id)?.state)));
        let Some((ix, state)) = state else {
            self.stats.stale += 1;
            return;
        };
        if matches!(state, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled) {
            return;
        }
        let deaths = self.suspects.deaths.entry((ix, id)).or_default();
        *deaths += 1;
        if (*deaths >= self.config.max_deaths_alone && alone) || *deaths >= self.config.max_deaths_shared {
            return self.dead_letter_suspect(ix, id, actions);
        }
        let Some(task) = self.jobs.get_mut(&ix).and_then(|job| job.task_mut(id)) else { return };
        if !std::mem::replace(&mut task.suspect, true) && state == TaskState::Pending {
            self.enqueue_pending(ix, id);
        }
        self.requeue(ix);
    }

    pub(crate) fn killed_reverted(&mut self, job: &JobId, id: TaskId) {
        let Some(ix) = self.by_id.get(job).copied() else { return };
        let Some(deaths) = self.suspects.deaths.get_mut(&(ix, id)) else { return };
        *deaths -= 1;
        if *deaths > 0 {
            return;
        }
        self.clear_suspect(ix, id);
        let pending = self.jobs.get(&ix).and_then(|job| job.task(id)).is_some_and(|t| t.state == TaskState::Pending);
        if pending {
            self.enqueue_pending(ix, id);
        }
        self.requeue(ix);
    }

    /// Dead-letters a task with `process-killed`.
    fn dead_letter_suspect(&mut self, ix: u32, id: TaskId, actions: &mut Vec<Action>) {
        self.clear_suspect(ix, id);
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        let Some(task) = job.task_mut(id) else { return };
        let (state, node) = (task.state, task.link);
        // `dead_letter_task` expects the task in no count, as after its last attempt.
        match state {
            TaskState::Pending => job.pending -= 1,
            TaskState::Backoff | TaskState::Blocked => {
                task.state = TaskState::Pending;
                job.backoff -= u64::from(state == TaskState::Backoff);
            }
            _ => {}
        }
        self.dead_letter_task(ix, id, node, Code::ProcessKilled, actions);
    }

    /// Clears a task of suspicion.
    pub(crate) fn clear_suspect(&mut self, ix: u32, id: TaskId) {
        if self.suspects.deaths.remove(&(ix, id)).is_none() && !self.suspects.is_waiting(ix, id) {
            return;
        }
        self.remove_waiting(ix, id);
        if let Some(task) = self.jobs.get_mut(&ix).and_then(|job| job.task_mut(id)) {
            task.suspect = false;
        }
    }

    fn remove_waiting(&mut self, ix: u32, id: TaskId) {
        if let Some(at) = self.suspects.waiting.iter().position(|waiting| *waiting == (ix, id)) {
            self.suspects.waiting.remove(at);
            if let Some(job) = self.jobs.get_mut(&ix) {
                job.held_back -= 1;
            }
        }
    }

    /// Queues a pending task: a suspect with the waiting suspects, any other task in its job's retry queue.
    pub(crate) fn enqueue_pending(&mut self, ix: u32, id: TaskId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&ix) else { return };
        if job.task(id).is_some_and(|task| task.suspect) {
            job.held_back += 1;
            self.suspects.waiting.push_back((ix, id));
        } else {
            job.retry.push_back((id, now));
        }
    }

    /// Sends suspects to nodes without other work. If there is no such node, starts to empty one.
    pub(crate) fn place_suspects(&mut self, actions: &mut Vec<Action>) {
        if self.suspects.waiting.is_empty() && self.suspects.reserved.is_none() {
            return;
        }
        let turns: Vec<_> = self.suspects.waiting.iter().take(EXAMINED).copied().collect();
        let open = self.nodes.iter().filter(|(_, node)| node.is_open());
        let mut open: Vec<_> = open.map(|(at, node)| (self.other_attempts(node), at)).collect();
        open.sort_unstable();
        // At most half of the nodes, so that other work continues on the rest.
        let alone = self.nodes.iter().filter(|(_, node)| node.exclusive.is_some()).count();
        let mut left = (open.len() / 2).max(1).saturating_sub(alone);
        let mut to_empty = None;
        for (ix, id) in turns {
            if left == 0 {
                break;
            }
            let Some(job) = self.jobs.get(&ix) else { continue };
            let quota = self.queue.get(job.tenant).map_or(0, |tenant| tenant.room(job.demand()));
            if job.room() == 0 || quota == 0 {
                // The suspect waits for its own job or tenant, so no node is reserved for it. Other suspects go first.
                self.suspects.waiting.retain(|waiting| *waiting != (ix, id));
                self.suspects.waiting.push_back((ix, id));
                continue;
            }
            let request = request(job, None);
            let fits = |at: u32| {
                self.nodes.get(at).is_some_and(|node| {
                    node.exclusive.is_none() && filters::suits(node, &request) && filters::could_fit(node, &request)
                })
            };
            let mut fit = open.iter().copied().filter(|(_, at)| fits(*at));
            match fit.clone().find(|(others, at)| self.is_free_for(*others, *at, &request)) {
                Some((_, at)) => {
                    self.send_exclusively(ix, id, at, actions);
                    left -= 1;
                }
                None => to_empty = to_empty.or_else(|| fit.next().map(|(_, at)| at)),
            }
        }
        self.reserve(to_empty);
    }

    /// Returns the number of attempts on a node that a suspect must not run next to.
    fn other_attempts(&self, node: &Node) -> usize {
        node.attempts.iter().filter(|key| !self.suspects.deaths.contains_key(&(key.job, key.task()))).count()
    }

    fn is_free_for(&self, others: usize, at: u32, request: &Request<'_>) -> bool {
        let waited = self.suspects.reserved.is_some_and(|(node, until)| node == at && until <= self.now);
        (others == 0 || waited) && self.nodes.get(at).is_some_and(|node| filters::room(node, request, 1).is_some())
    }

    fn send_exclusively(&mut self, ix: u32, id: TaskId, at: u32, actions: &mut Vec<Action>) {
        let deaths = self.suspects.deaths.get(&(ix, id)).copied().unwrap_or(1);
        let exclusive_us =
            self.config.exclusive_us.saturating_mul(10_u64.saturating_pow(deaths.saturating_sub(1).min(4)));
        self.remove_waiting(ix, id);
        self.send(ix, id, Candidate { node: at, depth: 1, room: 1 }, actions);
        let Some(task) = self.jobs.get(&ix).and_then(|job| job.task(id)) else { return };
        let key = AttemptKey::new(ix, id, u32::from(task.attempts));
        let until = self.now.plus_us(exclusive_us);
        self.nodes.change(at, |node| node.exclusive = Some((key, until)));
        self.timers.insert((until, Timer::Exclusive { node: at }));
        self.requeue(ix);
    }

    pub(crate) fn exclusive_expired(&mut self, at: u32) {
        let now = self.now;
        let over = self.nodes.get(at).is_some_and(|node| node.exclusive.is_some_and(|(_, until)| until <= now));
        if over {
            self.nodes.change(at, |node| node.exclusive = None);
            self.unpark_all();
        }
    }

    /// Reserves this node and no other. A node that is being emptied stays reserved while a suspect needs one.
    fn reserve(&mut self, wanted: Option<u32>) {
        let now = self.now;
        if let Some((at, _)) = self.suspects.reserved {
            let stays = wanted.is_some() && self.nodes.get(at).is_some_and(|n| n.is_open() && n.exclusive.is_none());
            if stays {
                return;
            }
            self.suspects.reserved = None;
            self.nodes.change(at, |node| node.reserved = false);
            self.unpark_all();
        }
        if let Some(at) = wanted {
            let until = now.plus_us(self.config.drain_for_suspect_us);
            self.suspects.reserved = Some((at, until));
            self.nodes.change(at, |node| node.reserved = true);
            self.timers.insert((until, Timer::Suspects));
        }
    }
}
