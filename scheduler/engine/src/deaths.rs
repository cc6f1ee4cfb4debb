//! Deaths of processes, in the registry under `sys/deaths/{node}`: which tasks were running when a process died. A node
//! says it of itself when it starts again; where it can't, the owner of the jobs says what it had sent there.
//!
//! They are written before the tasks are handed out again, so a task that kills is counted whatever dies with it.

use crate::{
    Error,
    registry::{Entry, Expect, Registry},
};
use bytes::Bytes;
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "sys/deaths/";
/// Tasks of one death that are kept; a node has hardly ever more at once.
const TASKS: usize = 512;
/// Deaths of one node that are kept, the latest.
const DEATHS: usize = 16;
/// Times a change is tried again because another was first.
const ROUNDS: u32 = 16;
/// Entries read at once.
const PAGE: usize = 1000;

/// Who says that a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// The node, which read it in its folder.
    Node,
    /// The owner, who lost sight of the node and names everything that was with it.
    Owner,
}

/// A task that was running.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunningTask {
    /// Whose.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
}

/// The death of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// When the process had started, which tells the processes of a node apart.
    pub started_ms: u64,
    /// When the death was noticed.
    pub at_ms: u64,
    /// Who says so.
    pub witness: Witness,
    /// The tasks.
    pub tasks: Vec<RunningTask>,
    /// Synchronous calls that were running.
    pub calls: u32,
}

impl Death {
    /// Whether nothing but one task was running.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.tasks.len() == 1 && self.calls == 0
    }
}

fn key(node: &NodeId) -> String {
    format!("{PREFIX}{node}")
}

fn decode(entry: &Entry) -> Vec<Death> {
    let read = serde_json::from_slice(&entry.value);
    read.inspect_err(|error| tracing::error!(key = entry.key, %error, "an entry of the registry is damaged"))
        .unwrap_or_default()
}

/// All that are known, by node, the oldest first.
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

/// Changes what is known of a node's deaths; gives what is known then. `change` says whether it changed anything.
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
        let expect = entry.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        round += 1;
        match registry.put(&key, Bytes::from(bytes), expect).await {
            Ok(_) => return Ok(deaths),
            Err(Error::Conflict { .. }) if round < ROUNDS => {}
            Err(error) => return Err(error),
        }
    }
}

/// Notes a death, unless it is known. What the node says replaces what the owner said. Gives all of the node's.
///
/// # Errors
/// [`Error::Backend`].
pub async fn note(registry: &dyn Registry, node: &NodeId, mut death: Death) -> Result<Vec<Death>, Error> {
    death.tasks.sort();
    death.tasks.dedup();
    death.tasks.truncate(TASKS);
    let add = |deaths: &mut Vec<Death>| {
        let known = deaths.iter().position(|known| known.started_ms == death.started_ms);
        match known.and_then(|at| deaths.get_mut(at)) {
            Some(known) if known.witness == Witness::Node || death.witness == Witness::Owner => return false,
            // At its place: the order says which death came first.
            Some(known) => *known = Death { at_ms: known.at_ms, ..death.clone() },
            None => deaths.push(death.clone()),
        }
        true
    };
    change(registry, node, add).await
}

/// Takes back what the owner said of a process that lives after all. Gives all of the node's.
///
/// # Errors
/// [`Error::Backend`].
pub async fn lives(registry: &dyn Registry, node: &NodeId, started_ms: u64) -> Result<Vec<Death>, Error> {
    let remove = |deaths: &mut Vec<Death>| {
        let before = deaths.len();
        deaths.retain(|death| death.started_ms != started_ms || death.witness == Witness::Node);
        deaths.len() < before
    };
    change(registry, node, remove).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::embedded::Embedded;

    fn death(started_ms: u64, witness: Witness, tasks: &[u32]) -> Death {
        let task = |index: &u32| RunningTask {
            tenant: TenantId::new("acme").unwrap(),
            job: JobId::from_parts(1, 1),
            task: TaskId { stage: 0, index: *index },
        };
        Death { started_ms, at_ms: started_ms, witness, tasks: tasks.iter().map(task).collect(), calls: 0 }
    }

    #[tokio::test]
    async fn what_a_node_says_of_itself_stands() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Embedded::open(&folder.path().join("state.db")).unwrap();
        let (registry, node) = (engine.registry.as_ref(), NodeId::new("n-1").unwrap());
        note(registry, &node, death(1, Witness::Owner, &[1, 2, 3])).await.unwrap();
        note(registry, &node, death(2, Witness::Owner, &[4])).await.unwrap();
        note(registry, &node, death(1, Witness::Node, &[2])).await.unwrap();
        let again = note(registry, &node, death(1, Witness::Owner, &[5])).await.unwrap();
        assert_eq!(again, [death(1, Witness::Node, &[2]), death(2, Witness::Owner, &[4])]);
        assert!(again.iter().all(Death::is_alone));
        lives(registry, &node, 1).await.unwrap();
        assert_eq!(lives(registry, &node, 2).await.unwrap(), [death(1, Witness::Node, &[2])]);
        for started in 3..40 {
            note(registry, &node, death(started, Witness::Node, &[])).await.unwrap();
        }
        let known = all(registry).await.unwrap();
        assert_eq!(known.iter().map(|(_, deaths)| deaths.len()).collect::<Vec<_>>(), [DEATHS]);
    }
}
