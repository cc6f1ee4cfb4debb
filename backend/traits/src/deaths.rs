//! Process deaths, stored in the registry under `sys/deaths/{node}`: the tasks that were running when a process died. A
//! restarted node reports its own death; if it cannot, the owner of the jobs reports the tasks it had sent to the node.
//!
//! A death is stored before its tasks are handed out again, so that a task which kills its process is counted even if
//! other processes die with it.

use crate::{
    Error,
    registry::{Precondition, Registry, RegistryEntry},
};
use bytes::Bytes;
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "sys/deaths/";
/// Maximum number of tasks stored per death. A node hardly ever runs more at once.
const TASKS: usize = 512;
/// Maximum number of deaths stored per node. The latest ones stay.
pub const DEATHS: usize = 16;
/// Maximum attempts of a compare-and-set after conflicts.
const ROUNDS: u32 = 16;
/// Entries per page when listing the registry.
const PAGE: usize = 1000;

/// The source of a report about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeathReporter {
    /// The node itself, from the list of running tasks in its data folder.
    Node,
    /// The owner of the jobs, which lost contact with the node and reports every task that it had sent there.
    Owner,
}

/// A task that was running.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunningTask {
    /// The tenant.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
}

/// The death of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// Start time of the process, in milliseconds since 1970. Identifies the process among those of its node.
    pub started_ms: u64,
    /// Time of detection, in milliseconds since 1970.
    pub at_ms: u64,
    /// The source of this report.
    pub reported_by: DeathReporter,
    /// The tasks that were running.
    pub tasks: Vec<RunningTask>,
    /// Number of synchronous calls that were running.
    pub calls: u32,
}

impl Death {
    /// Returns `true` if exactly one task and no call was running.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.tasks.len() == 1 && self.calls == 0
    }
}

fn key(node: &NodeId) -> String {
    format!("{PREFIX}{node}")
}

fn decode(entry: &RegistryEntry) -> Vec<Death> {
    let read = serde_json::from_slice(&entry.value);
    read.inspect_err(|error| tracing::error!(key = entry.key, %error, "registry entry is damaged")).unwrap_or_default()
}

/// Returns all stored deaths by node, the oldest first.
///
/// # Errors
/// [`Error::Backend`].
pub async fn all(registry: &dyn Registry) -> Result<Vec<(NodeId, Vec<Death>)>, Error> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = registry.list(PREFIX, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key.clone());
        for entry in &page {
            if let Some(Ok(node)) = entry.key.strip_prefix(PREFIX).map(NodeId::new) {
                found.push((node, decode(entry)));
            }
        }
    }
}

/// Applies `change` to the deaths of a node by compare-and-set, and returns the resulting list. `change` returns
/// `false` if it changed nothing.
async fn change(
    registry: &dyn Registry,
    node: &NodeId,
    change: impl Fn(&mut Vec<Death>) -> bool,
) -> Result<Vec<Death>, Error> {
    let key = key(node);
    let mut round = 0;
    loop {
        let entry = registry.get(&key).await?;
        let mut deaths = entry.as_ref().map(decode).unwrap_or_default();
        if !change(&mut deaths) {
            return Ok(deaths);
        }
        deaths.sort_by_key(|death| death.at_ms);
        deaths.drain(..deaths.len().saturating_sub(DEATHS));
        let bytes = serde_json::to_vec(&deaths).map_err(|e| Error::Damaged(e.to_string()))?;
        let expect = entry.map_or(Precondition::Absent, |entry| Precondition::Revision(entry.revision));
        round += 1;
        match registry.put(&key, Bytes::from(bytes), expect).await {
            Ok(_) => return Ok(deaths),
            Err(Error::Conflict { .. }) if round < ROUNDS => {}
            Err(error) => return Err(error),
        }
    }
}

/// Stores a death unless it is already stored. The node's own report replaces the owner's. Returns all deaths of the
/// node.
///
/// # Errors
/// [`Error::Backend`].
pub async fn record(registry: &dyn Registry, node: &NodeId, mut death: Death) -> Result<Vec<Death>, Error> {
    death.tasks.sort();
    death.tasks.dedup();
    death.tasks.truncate(TASKS);
    let add = |deaths: &mut Vec<Death>| {
        let known = deaths.iter().position(|known| known.started_ms == death.started_ms);
        match known.and_then(|at| deaths.get_mut(at)) {
            Some(known) if known.reported_by == DeathReporter::Node || death.reported_by == DeathReporter::Owner => {
                return false;
            }
            // Keeps the earlier detection time, since it determines the order of deaths.
            Some(known) => *known = Death { at_ms: known.at_ms, ..death.clone() },
            None => deaths.push(death.clone()),
        }
        true
    };
    change(registry, node, add).await
}

/// Removes an owner's report about a process that is alive after all. Returns all deaths of the node.
///
/// # Errors
/// [`Error::Backend`].
pub async fn retract(registry: &dyn Registry, node: &NodeId, started_ms: u64) -> Result<Vec<Death>, Error> {
    let remove = |deaths: &mut Vec<Death>| {
        let before = deaths.len();
        deaths.retain(|death| death.started_ms != started_ms || death.reported_by == DeathReporter::Node);
        deaths.len() < before
    };
    change(registry, node, remove).await
}
