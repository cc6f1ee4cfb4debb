//! The state of one job: its stages, running table, ready tasks and measurements.

use crate::{
    SchedulableJob, Time,
    node::{Demand, Load, PerNode},
    plan,
    queue::JobKey,
    speculate::{StageTimes, WallTimes, stage_times},
    task::{Attempt, NONE, Running, Task},
};
use fabric_types::{
    id::JobId,
    job::{StageKind, TaskId, TaskState},
};
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Stage {
    pub kind: StageKind,
    pub tasks: Vec<Task>,
    pub done: u32,
    /// Index of the first task that was not considered yet. Tasks from it on are pending once the stage is open.
    pub fresh: u32,
    /// `true` once tasks become ready through `fresh` (map, keyed reduce).
    pub open: bool,
    /// Reduce tasks whose inputs are complete.
    pub ready: VecDeque<u32>,
    /// Measured times, as observed (`walls`) and normalised to a node of speed 1 (`works`).
    pub walls: WallTimes,
    pub works: WallTimes,
    /// Running mean of the normalised times.
    pub mean_us: f64,
}

impl Stage {
    /// Returns the usual task times; `None` until enough tasks were measured to detect stragglers.
    pub fn stage_times(&self) -> Option<StageTimes> {
        stage_times(&self.walls, &self.works)
    }
}

#[derive(Debug)]
pub(crate) struct Job {
    pub ix: u32,
    pub plan: SchedulableJob,
    pub tenant: u32,
    pub stages: Vec<Stage>,
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    /// Tasks with at least one outstanding attempt.
    pub running_tasks: u32,
    /// Outstanding attempts.
    pub outstanding: u32,
    pub per_node: PerNode,
    /// Tasks to retry, with the time since which they are ready.
    pub retry: VecDeque<(TaskId, Time)>,
    /// Tasks in state pending.
    pub pending: u64,
    /// Tasks in state backoff.
    pub backoff: u64,
    pub succeeded: u64,
    pub cached: u64,
    /// Dead-lettered map tasks.
    pub dead: u32,
    /// Map tasks dead-lettered with `process-killed`.
    pub killed: u32,
    /// Pending tasks that are suspects, which wait for a node of their own.
    pub held_back: u32,
    /// Suspects whose inputs have just become complete.
    pub unblocked: Vec<TaskId>,
    /// Later tasks without any remaining input because of dead-lettered tasks.
    pub skipped: u32,
    pub retries: u64,
    pub duplicates: u64,
    pub fuel: u64,
    /// Fuel of the most expensive attempt.
    pub max_attempt_fuel: u64,
    pub work_us: Option<f64>,
    pub started: bool,
    pub hints: Vec<u32>,
    /// `true` while the job is in its tenant's ready set.
    pub queued: bool,
    /// `true` while the job is parked because it found no room.
    pub parked: bool,
    /// `true` while a straggler check is scheduled.
    pub straggler_timer: bool,
}

/// Weight of a new measurement in the running mean.
const EWMA_WEIGHT: f64 = 1.0 / 16.0;
/// Measurements of a stage before its mean is used to rate a node.
const MEASURED: u64 = 16;
/// Assumed work of a task served from the cache, in microseconds.
const CACHED_US: f64 = 200.0;

impl Job {
    pub fn new(ix: u32, tenant: u32, mut plan: SchedulableJob) -> Self {
        plan.cpu_slots = plan.cpu_slots.max(1);
        plan.max_attempts = plan.max_attempts.clamp(1, 255);
        let shapes = plan::stages(&plan);
        let fan_in = plan::fan_in(&plan);
        let mut stages: Vec<Stage> = Vec::with_capacity(shapes.len());
        let mut before = 0;
        for shape in shapes {
            let tasks = match shape.kind {
                StageKind::Reduce => (0..shape.tasks)
                    .map(|i| Task::blocked(before.min((i + 1).saturating_mul(fan_in)) - i * fan_in))
                    .collect(),
                StageKind::KeyedReduce => vec![Task::blocked(before); shape.tasks as usize],
                _ => vec![Task::pending(); shape.tasks as usize],
            };
            let open = matches!(shape.kind, StageKind::Map | StageKind::Invoke);
            before = shape.tasks;
            stages.push(Stage {
                kind: shape.kind,
                tasks,
                done: 0,
                fresh: 0,
                open,
                ready: VecDeque::new(),
                walls: WallTimes::default(),
                works: WallTimes::default(),
                mean_us: 0.0,
            });
        }
        let pending = stages.first().map_or(0, |s| s.tasks.len() as u64);
        Self {
            ix,
            plan,
            tenant,
            stages,
            running: Vec::new(),
            free: Vec::new(),
            running_tasks: 0,
            outstanding: 0,
            per_node: PerNode::default(),
            retry: VecDeque::new(),
            pending,
            backoff: 0,
            succeeded: 0,
            cached: 0,
            dead: 0,
            killed: 0,
            held_back: 0,
            unblocked: Vec::new(),
            skipped: 0,
            retries: 0,
            duplicates: 0,
            fuel: 0,
            max_attempt_fuel: 0,
            work_us: None,
            started: false,
            hints: Vec::new(),
            queued: false,
            parked: false,
            straggler_timer: false,
        }
    }

    pub fn id(&self) -> &JobId {
        &self.plan.job
    }

    /// Returns the seed of the job's jitter: its index in this core, which is the order of submission.
    pub fn seed(&self) -> u64 {
        u64::from(self.ix)
    }

    pub fn key(&self) -> JobKey {
        (std::cmp::Reverse(self.plan.priority), self.plan.accepted_at, self.ix, self.plan.gpus > 0)
    }

    /// Returns the resources that one attempt needs.
    pub fn demand(&self) -> Demand {
        Demand { slots: self.plan.cpu_slots, memory: self.plan.memory_bytes, gpus: self.plan.gpus }
    }

    pub fn load(&self, depth: u16) -> Load {
        Load::new(self.demand(), depth)
    }

    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.stages.get(usize::from(id.stage))?.tasks.get(id.index as usize)
    }

    pub fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.stages.get_mut(usize::from(id.stage))?.tasks.get_mut(id.index as usize)
    }

    pub fn total(&self) -> u64 {
        self.stages.iter().map(|s| s.tasks.len() as u64).sum()
    }

    /// Reports whether the job has a task to run and room for another attempt.
    pub fn is_schedulable(&self) -> bool {
        self.pending > u64::from(self.held_back) && self.room() > 0
    }

    /// Returns the number of attempts that the concurrency limit and the budget still allow.
    pub fn room(&self) -> u32 {
        let concurrency = if self.plan.concurrency == 0 { u32::MAX } else { self.plan.concurrency };
        concurrency.min(self.affordable()).saturating_sub(self.outstanding)
    }

    /// Returns the number of concurrent attempts that the budget covers if each spends as much fuel as the most
    /// expensive one so far. At least one, because the job learns the cost of an attempt only by running it.
    fn affordable(&self) -> u32 {
        let Some(budget) = self.plan.budget_fuel else { return u32::MAX };
        let left = budget.saturating_sub(self.fuel);
        let attempts = left.checked_div(self.max_attempt_fuel).unwrap_or(1);
        u32::try_from(attempts).unwrap_or(u32::MAX).max(1)
    }

    /// Adds the fuel of an attempt that has ended.
    pub fn spend(&mut self, fuel: u64) {
        self.fuel = self.fuel.saturating_add(fuel);
        self.max_attempt_fuel = self.max_attempt_fuel.max(fuel);
    }

    pub fn running(&self, task: &Task) -> Option<&Running> {
        if task.state == TaskState::Running { self.running.get(task.link as usize)?.as_ref() } else { None }
    }

    pub fn running_of(&self, id: TaskId) -> Option<Running> {
        self.task(id).and_then(|task| self.running(task)).copied()
    }

    pub fn all_running(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().flatten()
    }

    /// Returns the running tasks in at most `limit` places of the table, starting at `from`, and the next place.
    pub fn running_window(&self, from: usize, limit: usize) -> (Vec<Running>, usize) {
        let part: Vec<Running> = self.running.iter().skip(from).take(limit).flatten().copied().collect();
        let next = from + limit;
        (part, if next >= self.running.len() { 0 } else { next })
    }

    /// Returns the number of windows of `limit` places in the running table, at least 1.
    pub fn running_windows(&self, limit: usize) -> u64 {
        self.running.len().div_ceil(limit).max(1) as u64
    }

    /// Adds an attempt. The first attempt of a task makes it running; another attempt is its copy.
    pub fn add_attempt(&mut self, id: TaskId, attempt: Attempt) {
        let running = self.running_of(id);
        let slot = match running {
            Some(_) => self.task(id).map_or(NONE, |t| t.link),
            None => self.free.pop().unwrap_or_else(|| {
                self.running.push(None);
                u32::try_from(self.running.len() - 1).unwrap_or(NONE)
            }),
        };
        if let Some(entry) = self.running.get_mut(slot as usize) {
            *entry = match running {
                Some(r) => Some(Running { copy: Some(attempt), ..r }),
                None => Some(Running { task: id, first: attempt, copy: None }),
            };
        }
        if running.is_none() {
            self.running_tasks += 1;
        }
        self.outstanding += 1;
        *self.per_node.entry(attempt.node).or_default() += 1;
        if let Some(task) = self.task_mut(id) {
            task.state = TaskState::Running;
            task.link = slot;
            task.attempts = u16::try_from(attempt.number).unwrap_or(u16::MAX);
        }
    }

    /// Marks an attempt as one that shares its slots with no other attempt.
    pub fn promote_to_full_slots(&mut self, id: TaskId, number: u32) {
        let Some(link) = self.task(id).map(|task| task.link) else { return };
        let Some(Some(running)) = self.running.get_mut(link as usize) else { return };
        for attempt in std::iter::once(&mut running.first).chain(running.copy.as_mut()) {
            if attempt.number == number {
                attempt.depth = 1;
            }
        }
    }

    /// Removes an attempt. Returns `true` if it was the task's last one. The task is then in state pending *without
    /// being counted as pending*, with the attempt's node as its last node, and the caller decides its next state.
    pub fn remove_attempt(&mut self, id: TaskId, attempt: Attempt) -> bool {
        let Some(task) = self.task(id).copied() else { return false };
        let Some(running) = self.running(&task).copied() else { return false };
        let left = match running.copy {
            Some(copy) if copy.number == attempt.number => Some(running.first),
            Some(copy) => Some(copy),
            None => None,
        };
        if let Some(entry) = self.running.get_mut(task.link as usize) {
            *entry = left.map(|first| Running { task: id, first, copy: None });
        }
        self.outstanding -= 1;
        if let Some(n) = self.per_node.get_mut(&attempt.node) {
            *n -= 1;
            if *n == 0 {
                self.per_node.remove(&attempt.node);
            }
        }
        if left.is_none() {
            self.running_tasks -= 1;
            self.free.push(task.link);
            if let Some(task) = self.task_mut(id) {
                task.state = TaskState::Pending;
                task.link = attempt.node;
            }
        }
        left.is_none()
    }

    /// Adds a measured time of `us` on a node of `speed` to the running mean. Returns the ratio of that time to the
    /// stage's mean, once enough times were measured.
    pub fn measure(&mut self, stage: u16, us: u64, speed: f64, cached: bool) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        let work = if cached { CACHED_US } else { us as f64 * speed };
        self.work_us = Some(self.work_us.map_or(work, |mean| mean + (work - mean) * EWMA_WEIGHT));
        if cached {
            return None;
        }
        let stage = self.stages.get_mut(usize::from(stage))?;
        stage.walls.add(us);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        stage.works.add(work as u64);
        stage.mean_us += (work - stage.mean_us) * if stage.walls.count() == 1 { 1.0 } else { EWMA_WEIGHT };
        (stage.walls.count() >= MEASURED && stage.mean_us > 0.0).then(|| work / stage.mean_us)
    }

    /// Returns the latest stage that has a ready task, and an upper bound of its number of ready tasks.
    pub fn ready_stage(&mut self) -> Option<(u16, u32)> {
        for (at, stage) in self.stages.iter_mut().enumerate().rev() {
            while stage.ready.front().is_some_and(|i| !is_pending(&stage.tasks, *i)) {
                stage.ready.pop_front();
            }
            if stage.open {
                while (stage.fresh as usize) < stage.tasks.len() && !is_fresh(&stage.tasks, stage.fresh) {
                    stage.fresh += 1;
                }
            }
            let fresh = if stage.open { stage.tasks.len() - (stage.fresh as usize).min(stage.tasks.len()) } else { 0 };
            let count = fresh + stage.ready.len();
            if count > 0 {
                return Some((u16::try_from(at).unwrap_or(u16::MAX), u32::try_from(count).unwrap_or(u32::MAX)));
            }
        }
        None
    }

    /// Returns the next ready task of a stage.
    pub fn next_ready(&mut self, at: u16) -> Option<TaskId> {
        let stage = self.stages.get_mut(usize::from(at))?;
        while let Some(index) = stage.ready.pop_front() {
            if is_pending(&stage.tasks, index) {
                return Some(TaskId { stage: at, index });
            }
        }
        while stage.open && (stage.fresh as usize) < stage.tasks.len() {
            let index = stage.fresh;
            stage.fresh += 1;
            if is_fresh(&stage.tasks, index) {
                return Some(TaskId { stage: at, index });
            }
        }
        None
    }

    /// Marks a task as done and unblocks the tasks that depend on it.
    pub fn mark_done(&mut self, id: TaskId, node: u32, cached: bool) {
        self.succeeded += 1;
        self.cached += u64::from(cached);
        self.mark_terminal(id, node, TaskState::Succeeded, cached);
    }

    /// Marks a map task as dead-lettered and unblocks the tasks that depend on it.
    pub fn mark_dead(&mut self, id: TaskId, node: u32) {
        self.dead += 1;
        self.mark_terminal(id, node, TaskState::Failed, false);
    }

    fn mark_terminal(&mut self, id: TaskId, node: u32, state: TaskState, cached: bool) {
        let Some(task) = self.task_mut(id) else { return };
        match task.state {
            TaskState::Pending => self.pending -= 1,
            TaskState::Backoff => self.backoff -= 1,
            _ => {}
        }
        if let Some(task) = self.task_mut(id) {
            task.state = state;
            task.cached = cached;
            task.link = node;
        }
        let complete = match self.stages.get_mut(usize::from(id.stage)) {
            Some(stage) => {
                stage.done += 1;
                stage.done as usize == stage.tasks.len()
            }
            None => false,
        };
        let fan_in = plan::fan_in(&self.plan);
        let group = id.index / fan_in * fan_in;
        let before = self.stages.get(usize::from(id.stage)).map_or(&[][..], |stage| &stage.tasks);
        let mut inputs = before.iter().skip(group as usize).take(fan_in as usize);
        let nothing_left = inputs.all(|task| task.state == TaskState::Failed);
        let Some(next) = self.stages.get_mut(usize::from(id.stage) + 1) else { return };
        if next.kind == StageKind::KeyedReduce {
            if complete {
                next.open = true;
                for (index, task) in (0u32..).zip(&mut next.tasks) {
                    if task.state != TaskState::Blocked {
                        continue;
                    }
                    task.state = TaskState::Pending;
                    task.link = NONE;
                    self.pending += 1;
                    if task.suspect {
                        self.unblocked.push(TaskId { stage: id.stage + 1, index });
                    }
                }
            }
        } else if let Some(task) = next.tasks.get_mut((id.index / fan_in) as usize)
            && task.state == TaskState::Blocked
        {
            task.link = task.link.saturating_sub(1);
            if task.link == 0 && nothing_left {
                self.skipped += 1;
                let next = TaskId { stage: id.stage + 1, index: id.index / fan_in };
                self.mark_terminal(next, NONE, TaskState::Failed, false);
            } else if task.link == 0 {
                task.state = TaskState::Pending;
                task.link = NONE;
                self.pending += 1;
                if task.suspect {
                    self.unblocked.push(TaskId { stage: id.stage + 1, index: id.index / fan_in });
                } else {
                    next.ready.push_back(id.index / fan_in);
                }
            }
        }
    }

    /// Reports whether every task of the last stage has ended.
    pub fn complete(&self) -> bool {
        self.stages.last().is_none_or(|stage| stage.done as usize == stage.tasks.len())
    }
}

fn is_pending(tasks: &[Task], index: u32) -> bool {
    tasks.get(index as usize).is_some_and(|t| t.state == TaskState::Pending && !t.suspect)
}

/// Reports whether a task is pending and has not failed in this core. A task to retry is in the retry queue instead.
fn is_fresh(tasks: &[Task], index: u32) -> bool {
    tasks.get(index as usize).is_some_and(|t| t.state == TaskState::Pending && t.link == NONE && !t.suspect)
}
