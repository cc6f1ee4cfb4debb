//! Deaths of processes, as the owner hears of them: a node that starts again has said in the registry what was running
//! when its process died; of one that stays away, or whose folder is gone, everything counts that was with it.
//!
//! The registry has it before the core lets the tasks run again.

use crate::{
    clock::now_ms,
    owner::{Finished, Owner, WRITE_AGAIN},
    record::{DeadTask, FailedTask, Record},
};
use fabric_engine::{
    Error,
    deaths::{self, Death, RunningTask, Witness},
};
use fabric_scheduler_core::Event;
use fabric_types::{
    Code, Fault,
    id::{JobId, NodeId},
    job::TaskId,
    rest::node::Node,
};
use std::collections::{BTreeMap, BTreeSet};

/// Tasks of a node that count as running when it is presumed dead: those that were sent first. Each has to run alone, and
/// nodes go for other reasons than a task; only where another process died lately it may be any of many more.
const FIRST: usize = 64;
const MOST: usize = 512;
/// How long a death counts as lately.
const RECENT_MS: u64 = 600_000;

/// What the core was told, and of which nodes the registry is being asked.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    told: BTreeMap<NodeId, Vec<Death>>,
    looking: BTreeSet<NodeId>,
}

impl Deaths {
    /// With what is in the registry.
    pub(crate) fn new(known: Vec<(NodeId, Vec<Death>)>) -> Self {
        Self { told: known.into_iter().collect(), looking: BTreeSet::new() }
    }

    /// The nodes that died with a task.
    fn nodes(&self, job: &JobId, task: TaskId) -> Vec<NodeId> {
        let with = |death: &&Death| death.tasks.iter().any(|t| &t.job == job && t.task == task);
        self.told.iter().flat_map(|(node, deaths)| deaths.iter().filter(with).map(|_| node.clone())).collect()
    }
}

fn killed(death: &Death, task: &RunningTask) -> Event {
    Event::Killed { job: task.job.clone(), task: task.task, alone: death.is_alone() }
}

impl Owner {
    /// What the core has to hear about a job that it takes up.
    pub(crate) fn deaths_of(&self, job: &JobId) -> Vec<Event> {
        let mut all: Vec<&Death> = self.deaths.told.values().flatten().collect();
        all.sort_by_key(|death| death.at_ms);
        let of_job = all.iter().flat_map(|death| death.tasks.iter().map(move |task| (death, task)));
        of_job.filter(|(_, task)| &task.job == job).map(|(death, task)| killed(death, task)).collect()
    }

    /// Takes what is known of a node's deaths now; gives what that changes for the core.
    fn tell(&mut self, node: &NodeId, now: Vec<Death>) -> Vec<Event> {
        let before = self.deaths.told.remove(node).unwrap_or_default();
        if !now.is_empty() {
            self.deaths.told.insert(node.clone(), now.clone());
        }
        let same = |a: &Death, b: &Death| a.started_ms == b.started_ms && a.tasks == b.tasks && a.calls == b.calls;
        let gone = before.iter().filter(|death| !now.iter().any(|other| same(death, other)));
        // What is only too old to be kept did happen.
        let oldest = now.iter().map(|death| death.at_ms).min().unwrap_or(0);
        let gone = gone.filter(|death| death.at_ms >= oldest || now.is_empty());
        let spared = gone.flat_map(|death| &death.tasks).map(|t| Event::Spared { job: t.job.clone(), task: t.task });
        let new = now.iter().filter(|death| !before.iter().any(|other| same(death, other)));
        let mut new: Vec<&Death> = new.collect();
        new.sort_by_key(|death| death.at_ms);
        for death in &new {
            self.metrics.process_deaths.inc();
            tracing::warn!(%node, tasks = death.tasks.len(), calls = death.calls, witness = ?death.witness, "a process died");
        }
        spared.chain(new.iter().flat_map(|death| death.tasks.iter().map(|task| killed(death, task)))).collect()
    }

    /// What was with a node first, unless it left by itself: its process is presumed dead.
    pub(crate) fn presumption(&self, facts: &Node) -> Option<Death> {
        let known = self.deaths.told.values().flatten();
        let most =
            if known.clone().any(|death| death.at_ms.saturating_add(RECENT_MS) > now_ms()) { MOST } else { FIRST };
        let tasks = self.core.tasks_with(&facts.id).into_iter().take(most);
        let tasks: Vec<_> = tasks.map(|(tenant, job, task)| RunningTask { tenant, job, task }).collect();
        let leaves = facts.leaving || tasks.is_empty();
        (!leaves).then(|| Death {
            started_ms: facts.started_ms,
            at_ms: now_ms(),
            witness: Witness::Owner,
            tasks,
            calls: 0,
        })
    }

    /// Asks the registry about a node's deaths, having noted what is presumed. `here` are the facts of a node that came.
    pub(crate) fn look_at_deaths(&mut self, node: NodeId, presumed: Option<Death>, here: Option<Node>) {
        if here.is_some() && !self.deaths.looking.insert(node.clone()) {
            return;
        }
        let registry = self.parts.engine.registry.clone();
        self.doing.push(Box::pin(async move {
            let look = async {
                if let Some(death) = presumed.clone() {
                    deaths::note(registry.as_ref(), &node, death).await?;
                }
                // Whoever is here lives.
                let lives = here.as_ref().map_or(0, |here| here.started_ms);
                deaths::lives(registry.as_ref(), &node, lives).await
            };
            let known: Result<_, Error> = look.await;
            if let Err(error) = &known {
                tracing::error!(%node, %error, "deaths of processes can't be read or written; trying again");
                tokio::time::sleep(WRITE_AGAIN).await;
            }
            Finished::Looked { node, presumed, here: here.map(Box::new), known }
        }));
    }

    /// A node that came or went, with what is known of its deaths.
    pub(crate) fn looked(
        &mut self,
        node: NodeId,
        presumed: Option<Death>,
        here: Option<Node>,
        known: Result<Vec<Death>, Error>,
    ) {
        let wanted = here.is_none() || self.deaths.looking.remove(&node);
        let Ok(known) = known else {
            if wanted {
                self.look_at_deaths(node, presumed, here);
            }
            return;
        };
        let mut events = self.tell(&node, known);
        match here {
            Some(facts) if wanted => events.extend(self.came(facts)),
            Some(_) => {}
            // It may be back already.
            None if self.nodes.contains_key(&node) => {}
            None => events.push(Event::NodeDown { node: node.clone() }),
        }
        if !events.is_empty() {
            self.step(events);
        }
        self.release(&node);
    }

    /// A node that was about to come has gone.
    pub(crate) fn looks_no_more(&mut self, node: &NodeId) {
        self.deaths.looking.remove(node);
    }

    /// Writes down where processes died, for those who look at the task.
    pub(crate) fn note_killed(&mut self, job: &JobId, dead: &DeadTask) {
        if dead.code != Code::ProcessKilled {
            return;
        }
        let nodes = self.deaths.nodes(job, dead.task);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        self.metrics.tasks_quarantined.inc();
        let attempt = slot.live.task(dead.task).map_or(1, |note| note.attempts.max(1));
        let message = format!("{} processes died while the task was running", nodes.len());
        tracing::error!(job_id = %job, task = %dead.task, deaths = nodes.len(), "a task is quarantined");
        for node in nodes {
            let fault = Fault::new(Code::ProcessKilled, message.clone()).hint(
                "it is not run again. See the servers' logs: a module that ends a process is a defect of Fabric to report; where an operator killed the processes, submit the job again",
            );
            let failed = FailedTask { task: dead.task, attempt, node, fault };
            slot.note(&Record::Failed(failed.clone()));
            slot.live.apply_failed(failed);
        }
    }
}
