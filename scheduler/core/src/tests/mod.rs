//! Tests of the scheduling rules, one module per topic, over a small fixture without real time or network.

mod dead_letters;
mod placement;
mod random;
mod rules;
mod suspects;

use crate::{Action, Core, Event, NodeSpec, SchedulableJob, Time};
use fabric_types::{
    Code,
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};

#[derive(Debug, Default)]
pub struct Fixture {
    pub core: Core,
    pub now: u64,
}

pub fn job(n: u128) -> JobId {
    JobId::from_parts(1, n)
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub fn node(n: u32) -> NodeId {
    NodeId::new(format!("n-{n}")).unwrap()
}

pub fn map(index: u32) -> TaskId {
    TaskId { stage: 0, index }
}

pub fn plan(n: u128, tasks: u32) -> SchedulableJob {
    SchedulableJob::new(job(n), tenant("acme"), tasks)
}

/// Returns (node, job, task, attempt) of each dispatch.
pub fn sent(actions: &[Action]) -> Vec<(NodeId, JobId, TaskId, u32)> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Dispatch { node, job, task, attempt, .. } => Some((node.clone(), job.clone(), *task, *attempt)),
            _ => None,
        })
        .collect()
}

pub fn finished(actions: &[Action]) -> Vec<crate::JobOutcome> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::JobFinished { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
        .collect()
}

pub fn aborted(actions: &[Action]) -> usize {
    actions.iter().filter(|a| matches!(a, Action::Abort { .. })).count()
}

impl Fixture {
    /// Creates `nodes` nodes of `slots` slots, and a core that queues one task per slot.
    pub fn new(nodes: u32, slots: u32) -> Self {
        let config = crate::Config { initial_depth: 1, max_depth: 1, ..crate::Config::default() };
        let mut fixture = Self { core: Core::new(config), now: 0 };
        for n in 0..nodes {
            fixture.step(Event::NodeUp { node: node(n), spec: NodeSpec::new(slots, 1 << 30) });
        }
        fixture
    }

    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.core.step(event, Time(self.now), &mut actions);
        self.core.invariants().unwrap();
        actions
    }

    pub fn submit(&mut self, plan: SchedulableJob) -> Vec<Action> {
        self.step(Event::Submit(plan))
    }

    pub fn after_ms(&mut self, ms: u64) -> Vec<Action> {
        self.now += ms * 1000;
        self.step(Event::Tick)
    }

    pub fn done(&mut self, attempt: &(NodeId, JobId, TaskId, u32)) -> Vec<Action> {
        let (node, job, task, attempt) = attempt.clone();
        self.step(Event::TaskDone { job, task, attempt, node, fuel: 10, wall_us: 1000, cached: false })
    }

    pub fn fail(&mut self, attempt: &(NodeId, JobId, TaskId, u32), code: Code) -> Vec<Action> {
        let (node, job, task, attempt) = attempt.clone();
        let retryable = code.is_retryable();
        self.step(Event::TaskFailed { job, task, attempt, node, retryable, code, fuel: 0 })
    }
}
