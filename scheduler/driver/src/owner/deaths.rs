//! Process deaths as the owner sees them. A node that restarts has recorded in the registry the tasks that were
//! running when its process died. For a node that stays away, or has lost its data folder, all tasks that were sent to
//! it count.
//!
//! A death is in the registry before the core lets its tasks run again.

use super::{JobsOwner, OperationResult, RETRY_DELAY};
use crate::{
    clock::now_ms,
    job::{DeadTask, FailedTask},
    journal::JobRecord,
};
use fabric_backend::{
    Error,
    deaths::{self, Death, DeathReporter, RunningTask},
};
use fabric_scheduler_core::Event;
use fabric_types::{
    Code, Fault,
    id::{JobId, NodeId},
    job::TaskId,
    node::NodeFacts,
};
use std::collections::{BTreeMap, BTreeSet};

/// Tasks of a node that count as running when it is presumed dead: the first that were sent. Each of them has to run
/// alone, and nodes are lost for other reasons than a task. After another recent death, up to [`MOST`] count.
const FIRST: usize = 64;
const MOST: usize = 512;
/// Period for which a death counts as recent.
const RECENT_MS: u64 = 600_000;

/// Deaths that were reported to the core, and nodes whose deaths are being read from the registry.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    reported: BTreeMap<NodeId, Vec<Death>>,
    loading: BTreeSet<NodeId>,
}

impl Deaths {
    /// Creates the state from the deaths in the registry.
    pub(crate) fn new(known: Vec<(NodeId, Vec<Death>)>) -> Self {
        Self { reported: known.into_iter().collect(), loading: BTreeSet::new() }
    }

    /// Returns the nodes whose process died while it was running the task.
    fn nodes(&self, job: &JobId, task: TaskId) -> Vec<NodeId> {
        let with = |death: &&Death| death.tasks.iter().any(|t| &t.job == job && t.task == task);
        self.reported.iter().flat_map(|(node, deaths)| deaths.iter().filter(with).map(|_| node.clone())).collect()
    }
}

fn killed(death: &Death, task: &RunningTask) -> Event {
    Event::Killed { job: task.job.clone(), task: task.task, alone: death.is_alone() }
}

impl JobsOwner {
    /// Returns the death events for a job that is being resumed.
    pub(super) fn deaths_of(&self, job: &JobId) -> Vec<Event> {
        let mut all: Vec<&Death> = self.deaths.reported.values().flatten().collect();
        all.sort_by_key(|death| death.at_ms);
        let of_job = all.iter().flat_map(|death| death.tasks.iter().map(move |task| (death, task)));
        of_job.filter(|(_, task)| &task.job == job).map(|(death, task)| killed(death, task)).collect()
    }

    /// Replaces the known deaths of a node, and returns the resulting events for the core.
    fn report_deaths(&mut self, node: &NodeId, now: Vec<Death>) -> Vec<Event> {
        let before = self.deaths.reported.remove(node).unwrap_or_default();
        if !now.is_empty() {
            self.deaths.reported.insert(node.clone(), now.clone());
        }
        let same = |a: &Death, b: &Death| a.started_ms == b.started_ms && a.tasks == b.tasks && a.calls == b.calls;
        let gone = before.iter().filter(|death| !now.iter().any(|other| same(death, other)));
        // A death that was only dropped because of its age did happen.
        let oldest = now.iter().map(|death| death.at_ms).min().unwrap_or(0);
        let gone = gone.filter(|death| death.at_ms >= oldest || now.is_empty());
        let spared =
            gone.flat_map(|death| &death.tasks).map(|t| Event::KilledReverted { job: t.job.clone(), task: t.task });
        let new = now.iter().filter(|death| !before.iter().any(|other| same(death, other)));
        let mut new: Vec<&Death> = new.collect();
        new.sort_by_key(|death| death.at_ms);
        for death in &new {
            self.metrics.process_deaths.inc();
            tracing::warn!(%node, tasks = death.tasks.len(), calls = death.calls, reported_by = ?death.reported_by, "process died");
        }
        spared.chain(new.iter().flat_map(|death| death.tasks.iter().map(|task| killed(death, task)))).collect()
    }

    /// Returns the presumed death of a node's process with the tasks that were sent to it first; `None` if the node
    /// announced its leave, or has no tasks.
    pub(super) fn presumed_death(&self, facts: &NodeFacts) -> Option<Death> {
        let known = self.deaths.reported.values().flatten();
        let most =
            if known.clone().any(|death| death.at_ms.saturating_add(RECENT_MS) > now_ms()) { MOST } else { FIRST };
        let tasks = self.core.tasks_with(&facts.id).into_iter().take(most);
        let tasks: Vec<_> = tasks.map(|(tenant, job, task)| RunningTask { tenant, job, task }).collect();
        let leaves = facts.leaving || tasks.is_empty();
        (!leaves).then(|| Death {
            started_ms: facts.started_ms,
            at_ms: now_ms(),
            reported_by: DeathReporter::Owner,
            tasks,
            calls: 0,
        })
    }

    /// Records a presumed death, then reads a node's deaths from the registry. `here`: facts of a node that joined.
    pub(super) fn load_deaths(&mut self, node: NodeId, presumed: Option<Death>, here: Option<NodeFacts>) {
        if here.is_some() && !self.deaths.loading.insert(node.clone()) {
            return;
        }
        let registry = self.parts.backend.registry.clone();
        self.pending_ops.push(Box::pin(async move {
            let load = async {
                if let Some(death) = presumed.clone() {
                    deaths::record(registry.as_ref(), &node, death).await?;
                }
                // A process that is present is alive.
                let lives = here.as_ref().map_or(0, |here| here.started_ms);
                deaths::retract(registry.as_ref(), &node, lives).await
            };
            let known: Result<_, Error> = load.await;
            if let Err(error) = &known {
                tracing::error!(%node, %error, "reading or writing process deaths failed, retrying");
                tokio::time::sleep(RETRY_DELAY).await;
            }
            OperationResult::DeathsLoaded { node, presumed, here: here.map(Box::new), known }
        }));
    }

    /// Handles the deaths that were read for a node that joined or left.
    pub(super) fn deaths_loaded(
        &mut self,
        node: NodeId,
        presumed: Option<Death>,
        here: Option<NodeFacts>,
        known: Result<Vec<Death>, Error>,
    ) {
        let wanted = here.is_none() || self.deaths.loading.remove(&node);
        let Ok(known) = known else {
            if wanted {
                self.load_deaths(node, presumed, here);
            }
            return;
        };
        let mut events = self.report_deaths(&node, known);
        match here {
            Some(facts) if wanted => events.extend(self.node_joined(facts)),
            Some(_) => {}
            // The node may have joined again.
            None if self.nodes.contains_key(&node) => {}
            None => events.push(Event::NodeDown { node: node.clone() }),
        }
        if !events.is_empty() {
            self.step(events);
        }
        self.release(&node);
    }

    /// Cancels the pending join of a node that has left.
    pub(super) fn cancel_join(&mut self, node: &NodeId) {
        self.deaths.loading.remove(node);
    }

    /// Records the nodes whose processes died, for views of the task.
    pub(super) fn note_killed(&mut self, job: &JobId, dead: &DeadTask) {
        if dead.code != Code::ProcessKilled {
            return;
        }
        let nodes = self.deaths.nodes(job, dead.task);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        self.metrics.tasks_quarantined.inc();
        let attempt = slot.job.task(dead.task).map_or(1, |note| note.attempts.max(1));
        let message = format!("{} processes died while the task was running", nodes.len());
        tracing::error!(job_id = %job, task = %dead.task, deaths = nodes.len(), "task quarantined");
        for node in nodes {
            let fault = Fault::new(Code::ProcessKilled, message.clone()).hint(
                "the task is not retried. See the servers' logs: if the module ended the processes, report a bug in Fabric; if an operator killed them, submit the job again",
            );
            let failed = FailedTask { task: dead.task, attempt, node, fault };
            slot.note(&JobRecord::Failed(failed.clone()));
            slot.job.apply_failed(failed);
        }
    }
}
