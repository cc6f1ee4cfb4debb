//! A job's state in the driver: its fixed part, the result of each task, and its cost. The state can be rebuilt from
//! the journal alone, and every REST view of a job is derived from it.

use crate::{
    events::EventLog,
    meta::{JobKind, Planned},
    record::{DeadTask, DoneTasks, FailedTask, JobEnd, JobRecord},
};
use fabric_scheduler_core::{JobView, RestoredTask, Time, plan};
use fabric_types::{
    Code, Cost, Fault,
    id::{JobId, NodeId},
    job::{JobState, StageKind, TaskId},
    rest::job::{DeadLetter, Job, JobEvent, TaskCounts},
    task_key::Keyer,
    work::{Done, OutputRef},
};
use std::{collections::BTreeMap, sync::Arc};

/// Faults stored for one job, the first ones. Further faults would repeat the same causes.
const MAX_FAULTS: usize = 1_000;

/// The state of one task.
#[derive(Debug, Clone, Default)]
pub struct TaskNote {
    /// Result and cost.
    pub done: Option<Done>,
    /// Highest attempt number that was sent.
    pub attempts: u32,
    /// Index into the job's list of nodes, plus one; 0 if no attempt has ended.
    pub node: u32,
}

/// The state of one stage.
#[derive(Debug)]
pub struct Stage {
    /// Kind of the stage.
    pub kind: StageKind,
    /// Generator of the task keys.
    pub keyer: Keyer,
    /// Tasks of the stage.
    pub tasks: Vec<TaskNote>,
}

/// The state of a job.
#[derive(Debug)]
pub struct OpenJob {
    /// Fixed part and inputs.
    pub planned: Planned,
    /// Stages.
    pub stages: Vec<Stage>,
    /// Nodes that ran attempts, by the index in [`TaskNote::node`].
    pub nodes: Vec<NodeId>,
    /// Last fault of each task that failed.
    pub faults: BTreeMap<TaskId, Fault>,
    /// Nodes on which attempts of those tasks failed, each node once.
    pub failed_on: BTreeMap<TaskId, Vec<NodeId>>,
    /// Dead-lettered tasks.
    pub dead: BTreeMap<TaskId, DeadTask>,
    /// Cost so far.
    pub cost: Cost,
    /// Tasks with a result.
    pub succeeded: u64,
    /// Tasks served from the cache.
    pub cached: u64,
    /// Failed attempts.
    pub failures: u64,
    /// Time of the first dispatch, in milliseconds since the Unix epoch.
    pub started_ms: Option<u64>,
    /// End of the job.
    pub ended: Option<JobEnd>,
    /// `true` if a user requested cancellation.
    pub cancel_asked: bool,
    /// `true` if the job is in the bin.
    pub binned: bool,
    /// Number of records in its journal.
    pub journal_len: u64,
    /// Highest epoch of the leases under which the job was resumed.
    pub epoch: u64,
    /// Events of the job.
    pub events: EventLog,
}

fn stages(planned: &Planned) -> Vec<Stage> {
    let meta = &planned.meta;
    let shapes = plan::stages(&meta.plan(Time(0)));
    let stage = |shape: plan::StageShape| {
        let kind = match (&meta.kind, shape.kind) {
            (JobKind::Invoke { .. }, StageKind::Map) => StageKind::Invoke,
            (_, kind) => kind,
        };
        let buckets = if kind == StageKind::Map { meta.buckets() } else { 0 };
        let keyer = Keyer::new(&meta.deployment, kind, buckets, &meta.params, &meta.engine, &meta.id);
        Stage { kind, keyer, tasks: vec![TaskNote::default(); shape.tasks as usize] }
    };
    shapes.into_iter().map(stage).collect()
}

impl OpenJob {
    /// Creates the state of a job that was just accepted.
    #[must_use]
    pub fn new(planned: Planned) -> Self {
        Self {
            stages: stages(&planned),
            planned,
            nodes: Vec::new(),
            faults: BTreeMap::new(),
            failed_on: BTreeMap::new(),
            dead: BTreeMap::new(),
            cost: Cost::default(),
            succeeded: 0,
            cached: 0,
            failures: 0,
            started_ms: None,
            ended: None,
            cancel_asked: false,
            binned: false,
            journal_len: 0,
            epoch: 0,
            events: EventLog::default(),
        }
    }

    /// Rebuilds a job from its records; `None` if the journal ends before acceptance was complete.
    #[must_use]
    pub fn replay(records: Vec<JobRecord>) -> Option<Self> {
        let len = records.len() as u64;
        let mut records = records.into_iter().peekable();
        let Some(JobRecord::Accepted(meta)) = records.next() else { return None };
        let mut partitions = Vec::new();
        while let Some(JobRecord::Partitions(more)) = records.next_if(|r| matches!(r, JobRecord::Partitions(_))) {
            partitions.extend(more);
        }
        let wanted = if matches!(meta.kind, JobKind::Invoke { .. }) { 0 } else { meta.map_tasks as usize };
        if partitions.len() != wanted {
            return None;
        }
        let mut live = Self::new(Planned { meta: Arc::new(*meta), partitions: partitions.into() });
        for record in records {
            match record {
                JobRecord::Accepted(_) | JobRecord::Partitions(_) => {}
                JobRecord::Started(at_ms) => live.started_ms = live.started_ms.or(Some(at_ms)),
                JobRecord::Done(done) => live.apply_done(&done),
                JobRecord::Failed(failed) => live.apply_failed(failed),
                JobRecord::Dead(dead) => drop(live.dead.insert(dead.task, dead)),
                JobRecord::CancelAsked => live.cancel_asked = true,
                JobRecord::JobEnd(ended) => live.ended = Some(ended),
                JobRecord::Binned(binned) => live.binned = binned,
                JobRecord::Owned(epoch) => live.epoch = live.epoch.max(epoch),
            }
        }
        live.journal_len = len;
        Some(live)
    }

    /// Returns the job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.planned.meta.id
    }

    /// Returns the state of a task.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&TaskNote> {
        self.stages.get(usize::from(id.stage))?.tasks.get(id.index as usize)
    }

    /// Returns the mutable state of a task.
    pub fn task_mut(&mut self, id: TaskId) -> Option<&mut TaskNote> {
        self.stages.get_mut(usize::from(id.stage))?.tasks.get_mut(id.index as usize)
    }

    /// Returns the index of a node in this job's list, plus one. Adds the node if it is new.
    pub fn node_index(&mut self, node: &NodeId) -> u32 {
        let at = self.nodes.iter().position(|n| n == node).unwrap_or_else(|| {
            self.nodes.push(node.clone());
            self.nodes.len() - 1
        });
        u32::try_from(at + 1).unwrap_or(u32::MAX)
    }

    /// Applies results. For tasks that already have a result, only the cost is added.
    pub fn apply_done(&mut self, done: &DoneTasks) {
        let node = self.node_index(&done.node);
        for item in &done.tasks {
            // Only the committed result counts as output.
            self.cost.add(&Cost { bytes_out: 0, ..item.done.cost });
            let Some(note) = self.task_mut(item.task) else { continue };
            note.attempts = note.attempts.max(item.attempt);
            if note.done.is_none() {
                note.done = Some(item.done.clone());
                note.node = node;
                self.succeeded += 1;
                self.cached += u64::from(item.done.cached);
                self.cost.bytes_out = self.cost.bytes_out.saturating_add(item.done.output.len);
            }
        }
    }

    /// Applies a failed attempt.
    pub fn apply_failed(&mut self, failed: FailedTask) {
        let node = self.node_index(&failed.node);
        self.failures += 1;
        self.cost.fuel = self.cost.fuel.saturating_add(failed.fault.fuel);
        if let Some(note) = self.task_mut(failed.task) {
            note.attempts = note.attempts.max(failed.attempt);
            note.node = node;
        }
        if self.faults.len() < MAX_FAULTS || self.faults.contains_key(&failed.task) {
            self.faults.insert(failed.task, failed.fault);
            let nodes = self.failed_on.entry(failed.task).or_default();
            if !nodes.contains(&failed.node) {
                nodes.push(failed.node);
            }
        }
    }

    /// Returns the task states that the core needs to restore the job.
    #[must_use]
    pub fn restored(&self) -> Vec<RestoredTask> {
        let mut tasks = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            for (index, note) in stage.tasks.iter().enumerate() {
                if note.attempts == 0 {
                    continue;
                }
                let task = TaskId { stage: at as u16, index: index as u32 };
                tasks.push(RestoredTask {
                    task,
                    attempts: note.attempts,
                    done: note.done.is_some(),
                    cached: note.done.as_ref().is_some_and(|d| d.cached),
                    dead: self.dead.contains_key(&task),
                    killed: self.dead.get(&task).is_some_and(|dead| dead.code == Code::ProcessKilled),
                    fuel: note.done.as_ref().map_or(0, |d| d.cost.fuel) + self.faults.get(&task).map_or(0, |f| f.fuel),
                });
            }
        }
        tasks
    }

    /// Returns the results of the last stage, in order. Tasks without a result are left out.
    #[must_use]
    pub fn outputs(&self) -> Vec<OutputRef> {
        let last = self.stages.last().into_iter().flat_map(|s| &s.tasks);
        last.filter_map(|t| t.done.as_ref().map(|d| d.output)).collect()
    }

    fn counts(&self, view: Option<&JobView>) -> TaskCounts {
        let total = self.stages.iter().map(|s| s.tasks.len() as u64).sum();
        let failed =
            u64::from(self.ended.as_ref().is_some_and(|e| e.state == JobState::Failed) && !self.faults.is_empty());
        let running = if self.ended.is_some() { 0 } else { view.map_or(0, |v| v.tasks.running) };
        let dead = self.dead.len() as u64;
        let failed = failed.max(dead);
        TaskCounts {
            total,
            waiting: if self.ended.is_some() { 0 } else { total.saturating_sub(running + self.succeeded + dead) },
            running,
            succeeded: self.succeeded,
            cached: self.cached,
            failed,
            dead,
            retries: view.map_or(self.failures.saturating_sub(failed), |v| v.tasks.retries),
        }
    }

    fn remark(&self, state: JobState, counts: &TaskCounts, view: Option<&JobView>) -> String {
        let error = || self.ended.as_ref().and_then(|e| e.error.as_ref()).map_or_else(String::new, ToString::to_string);
        match state {
            JobState::Succeeded if counts.dead > 0 => {
                let (id, allowed) = (self.id(), self.planned.meta.spec.allow_failed);
                format!(
                    "{} of {} tasks succeeded; {} failed permanently, of {allowed} allowed: see fabric dead-letters {id}",
                    counts.succeeded, counts.total, counts.dead
                )
            }
            JobState::Succeeded if counts.cached == counts.total && counts.total > 0 => {
                format!(
                    "{} served from the cache",
                    if counts.total == 1 {
                        "the one task was".to_owned()
                    } else {
                        format!("all {} tasks were", counts.total)
                    }
                )
            }
            JobState::Succeeded if counts.cached > 0 => {
                format!("{} tasks succeeded, {} of them from the cache", counts.total, counts.cached)
            }
            JobState::Succeeded if counts.total == 1 => "the one task succeeded".to_owned(),
            JobState::Succeeded => format!("{} tasks succeeded", counts.total),
            JobState::Failed => error(),
            JobState::Cancelled => format!("cancelled after {} of {} tasks", counts.succeeded, counts.total),
            JobState::Running if counts.succeeded == counts.total => {
                "every task has its result; the output is being written".to_owned()
            }
            JobState::Running => {
                let why = view.map_or("", |v| v.why.as_str());
                format!("{} of {} tasks are done; {why}", counts.succeeded, counts.total)
            }
            JobState::Queued => view.map_or_else(|| "it was just accepted".to_owned(), |v| v.why.clone()),
        }
    }

    /// Returns the state of the job.
    #[must_use]
    pub fn state(&self) -> JobState {
        match (&self.ended, self.started_ms) {
            (Some(ended), _) => ended.state,
            (None, Some(_)) => JobState::Running,
            (None, None) => JobState::Queued,
        }
    }

    /// Returns the REST view of the job.
    #[must_use]
    pub fn view(&self, core: Option<&JobView>, now_ms: u64) -> Job {
        let meta = &self.planned.meta;
        let state = self.state();
        let counts = self.counts(core);
        let ended_ms = self.ended.as_ref().map(|e| e.at_ms);
        let until = ended_ms.unwrap_or(now_ms);
        let name = match (&meta.spec.name, &meta.kind) {
            (Some(name), _) => name.clone(),
            (None, JobKind::Audit { of }) => format!("audit of {of}"),
            (None, _) => meta.deployment.function.to_string(),
        };
        Job {
            id: meta.id.clone(),
            name,
            function: meta.deployment.function.clone(),
            version: meta.deployment.version,
            submitter: meta.submitter.clone(),
            state,
            remark: self.remark(state, &counts, core),
            waiting: core.filter(|_| !state.is_terminal()).and_then(|v| v.waiting.clone()),
            tasks: counts,
            cost: self.cost,
            tags: meta.spec.tags.clone(),
            created_ms: meta.created_ms,
            started_ms: self.started_ms,
            ended_ms,
            queue_ms: self.started_ms.unwrap_or(until).saturating_sub(meta.created_ms),
            run_ms: self.started_ms.map_or(0, |s| until.saturating_sub(s)),
            results: if matches!(state, JobState::Failed | JobState::Cancelled) { 0 } else { self.results() },
            error: self.ended.as_ref().and_then(|e| e.error.clone()),
            deleted: self.binned,
            spec: meta.spec.clone(),
        }
    }

    /// Publishes an event with the current state of the job.
    pub fn publish(&self, kind: &str, core: Option<&JobView>, now_ms: u64) {
        let state = self.state();
        let tasks = self.counts(core);
        let remark = self.remark(state, &tasks, core);
        self.events.push(JobEvent {
            seq: 0,
            at_ms: now_ms,
            kind: kind.to_owned(),
            state,
            remark,
            tasks,
            cost: self.cost,
        });
    }

    /// Returns the number of results that the job has once it succeeds.
    fn results(&self) -> u64 {
        let Some(last) = self.stages.len().checked_sub(1) else { return 0 };
        let tasks = self.stages.get(last).map_or(0, |stage| stage.tasks.len());
        let gone = |index: usize| self.is_gone(TaskId { stage: last as u16, index: index as u32 });
        if self.dead.is_empty() { tasks as u64 } else { (0..tasks).filter(|index| !gone(*index)).count() as u64 }
    }

    /// Reports whether a task will never have a result although the job continues: it was dead-lettered, or all of its
    /// inputs were.
    #[must_use]
    pub fn is_gone(&self, id: TaskId) -> bool {
        if self.dead.is_empty()
            || self.stages.get(usize::from(id.stage)).is_none_or(|s| s.kind == StageKind::KeyedReduce)
        {
            return false;
        }
        if id.stage == 0 {
            return self.dead.contains_key(&id);
        }
        let mut inputs = plan::inputs(&self.planned.meta.plan(Time(0)), id);
        inputs.all(|index| self.is_gone(TaskId { stage: id.stage - 1, index }))
    }

    /// Returns the REST view of a dead-lettered task.
    #[must_use]
    pub fn letter(&self, dead: &DeadTask) -> DeadLetter {
        let meta = &self.planned.meta;
        let lost = || Fault::new(dead.code, "its nodes were lost repeatedly").hint("see the servers' logs");
        let kind = self.stages.get(usize::from(dead.task.stage)).map_or(StageKind::Map, |s| s.kind);
        DeadLetter {
            job: meta.id.clone(),
            function: meta.deployment.function.clone(),
            version: meta.deployment.version,
            stage: dead.task.stage,
            index: dead.task.index,
            input: crate::tasks::describe(self, kind, dead.task),
            attempts: self.task(dead.task).map_or(0, |note| note.attempts),
            nodes: self.failed_on.get(&dead.task).cloned().unwrap_or_default(),
            error: self.faults.get(&dead.task).cloned().unwrap_or_else(lost),
            at_ms: dead.at_ms,
        }
    }

    /// Returns the fault of a failed job: its task's fault, or else one for the code alone.
    #[must_use]
    pub fn failure(&self, task: Option<TaskId>, code: Code) -> Fault {
        let of_task = task.and_then(|t| self.faults.get(&t).map(|f| (t, f)));
        match of_task {
            Some((task, fault)) => {
                let mut fault = fault.clone();
                fault.message = format!("task {task}: {}", fault.message);
                let attempts = self.task(task).map_or(0, |note| note.attempts);
                if attempts > 1 {
                    fault.message += &format!(" (attempt {attempts}, the last; see fabric dead-letters {})", self.id());
                }
                fault
            }
            None if code == Code::BudgetExhausted => {
                let budget = self.planned.meta.spec.budget_fuel.unwrap_or(0);
                let id = self.id();
                let kept =
                    self.planned.meta.cache() && self.stages.iter().any(|s| s.tasks.iter().any(|t| t.done.is_some()));
                let kept = if kept { "; finished tasks are in the cache and cost nothing again" } else { "" };
                Fault::new(code, format!("the job spent {} fuel of its budget of {budget}", self.cost.fuel))
                    .hint(format!("run it again with a larger budget: fabric jobs retry {id} --budget FUEL{kept}"))
            }
            None => Fault::new(code, "the job failed"),
        }
    }
}
