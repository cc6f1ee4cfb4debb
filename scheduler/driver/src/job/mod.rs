//! A job's state in the driver: its fixed part, the result of each task, and its cost. The state can be rebuilt from
//! the journal alone, and every REST view of a job is derived from it.

mod events;
pub mod invocation;
pub mod memory;
mod meta;
mod outcome;
pub mod tasks;
mod view;

pub use events::EventLog;
pub use meta::{JobKind, Meta, Planned, memory_bytes, node_selector};
pub use outcome::{DeadTask, DoneTask, DoneTasks, FailedTask, JobEnd};
pub use tasks::TaskFilter;

use fabric_scheduler_core::{RestoredTask, Time, plan};
use fabric_types::{
    Code, Cost, Fault,
    id::{JobId, NodeId},
    job::{JobState, StageKind, TaskId},
    task_key::Keyer,
    work::{Done, OutputRef},
};
use std::collections::BTreeMap;

/// Faults stored for one job, the first ones. Further faults would repeat the same causes.
const MAX_FAULTS: usize = 1_000;

/// The state of one task.
#[derive(Debug, Clone, Default)]
pub struct TaskProgress {
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
    pub tasks: Vec<TaskProgress>,
}

/// The state of a job.
#[derive(Debug)]
pub struct OpenJob {
    /// Fixed part and inputs.
    pub planned: Planned,
    /// Stages.
    pub stages: Vec<Stage>,
    /// Nodes that ran attempts, by the index in [`TaskProgress::node`].
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
    pub cancel_requested: bool,
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
        Stage { kind, keyer, tasks: vec![TaskProgress::default(); shape.tasks as usize] }
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
            cancel_requested: false,
            binned: false,
            journal_len: 0,
            epoch: 0,
            events: EventLog::default(),
        }
    }

    /// Returns the job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.planned.meta.id
    }

    /// Returns the state of a task.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&TaskProgress> {
        self.stages.get(usize::from(id.stage))?.tasks.get(id.index as usize)
    }

    /// Returns the mutable state of a task.
    pub fn task_mut(&mut self, id: TaskId) -> Option<&mut TaskProgress> {
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

    /// Returns the state of the job.
    #[must_use]
    pub fn state(&self) -> JobState {
        match (&self.ended, self.started_ms) {
            (Some(ended), _) => ended.state,
            (None, Some(_)) => JobState::Running,
            (None, None) => JobState::Queued,
        }
    }

    /// Reports whether a task will never have a result although the job continues: it was dead-lettered, or all of its
    /// inputs were.
    #[must_use]
    pub fn has_no_result(&self, id: TaskId) -> bool {
        if self.dead.is_empty()
            || self.stages.get(usize::from(id.stage)).is_none_or(|s| s.kind == StageKind::KeyedReduce)
        {
            return false;
        }
        if id.stage == 0 {
            return self.dead.contains_key(&id);
        }
        let mut inputs = plan::inputs(&self.planned.meta.plan(Time(0)), id);
        inputs.all(|index| self.has_no_result(TaskId { stage: id.stage - 1, index }))
    }
}
