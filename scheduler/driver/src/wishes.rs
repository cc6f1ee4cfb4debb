//! What operators want of nodes and tenants: which nodes take no work, and what tenants may use. It is kept in the
//! registry, under `sys/nodes/{node}` and `sys/quota/{tenant}`, so that it outlives nodes and owners.

use bytes::Bytes;
use fabric_engine::{
    Engine,
    registry::{Entry, Expect, Registry},
};
use fabric_scheduler_core::Event;
use fabric_types::{
    Code, Fault,
    id::{NodeId, TenantId},
    quota::Quota,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

const NODES: &str = "sys/nodes/";
const QUOTAS: &str = "sys/quota/";
/// Entries read at once.
const PAGE: usize = 1000;

/// Whether a node is to take work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeMode {
    /// It is.
    #[default]
    Open,
    /// Nothing new; it stays.
    Cordoned,
    /// Nothing new; it is about to leave.
    Draining,
}

impl NodeMode {
    /// Where the registry keeps them: `sys/nodes/{node}`.
    pub const PREFIX: &str = NODES;

    /// What an entry there says; `None` when it can't be read.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<(NodeId, Self)> {
        let node = NodeId::new(entry.key.strip_prefix(NODES)?).ok()?;
        let record: NodeRecord = serde_json::from_slice(&entry.value).ok()?;
        Some((node, record.mode))
    }

    /// What the core is told.
    pub(crate) fn event(self, node: NodeId) -> Event {
        match self {
            Self::Open => Event::Uncordon { node },
            Self::Cordoned => Event::Cordon { node },
            Self::Draining => Event::Drain { node },
        }
    }
}

/// What an operator wants of a node, as the registry keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) mode: NodeMode,
    /// The process that is to be drained, by its start; the next one of that name takes work again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_ms: Option<u64>,
    /// When tasks that still run there are stopped and run elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_ms: Option<u64>,
}

impl NodeRecord {
    /// For the process that began at `started_ms`.
    pub(crate) fn new(mode: NodeMode, started_ms: u64, until_ms: Option<u64>) -> Self {
        let of_process = mode == NodeMode::Draining;
        Self { mode, started_ms: of_process.then_some(started_ms), until_ms: until_ms.filter(|_| of_process) }
    }

    /// Whether it drains a process other than the one that began at `started_ms`.
    fn is_over(&self, started_ms: u64) -> bool {
        self.mode == NodeMode::Draining && self.started_ms.is_some_and(|drained| drained != started_ms)
    }
}

/// Values with the revisions they have in the registry: of two changes that meet, the later one stays.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    modes: BTreeMap<NodeId, (NodeRecord, u64)>,
    quotas: BTreeMap<TenantId, (Quota, u64)>,
}

fn take<K: Ord, V>(of: &mut BTreeMap<K, (V, u64)>, key: K, value: V, revision: u64) -> bool {
    if of.get(&key).is_some_and(|(_, known)| *known > revision) {
        return false;
    }
    of.insert(key, (value, revision));
    true
}

impl Wishes {
    /// Reads all of them.
    ///
    /// # Errors
    /// The registry's fault. A damaged entry is logged and left out.
    pub(crate) async fn load(engine: &Engine) -> Result<Self, Fault> {
        let mut wishes = Self::default();
        for (name, record, revision) in all::<NodeRecord>(engine, NODES).await? {
            if let Ok(node) = NodeId::new(&name) {
                take(&mut wishes.modes, node, record, revision);
            }
        }
        for (name, quota, revision) in all::<Quota>(engine, QUOTAS).await? {
            if let Ok(tenant) = TenantId::new(&name) {
                take(&mut wishes.quotas, tenant, quota, revision);
            }
        }
        Ok(wishes)
    }

    /// Takes a change; says whether it is the latest.
    pub(crate) fn set_mode(&mut self, node: NodeId, record: NodeRecord, revision: u64) -> bool {
        take(&mut self.modes, node, record, revision)
    }

    /// Ends the drain of a process that another one of its name has followed. Gives the revision of the entry, which is to
    /// be removed from the registry.
    pub(crate) fn end_drain(&mut self, node: &NodeId, started_ms: u64) -> Option<u64> {
        let (record, revision) = self.modes.get_mut(node)?;
        if !record.is_over(started_ms) {
            return None;
        }
        *record = NodeRecord::default();
        Some(*revision)
    }

    /// When what still runs on a draining node is to be stopped.
    pub(crate) fn drained_by(&self, node: &NodeId) -> Option<u64> {
        self.modes.get(node)?.0.until_ms
    }

    /// Takes a change; says whether it is the latest.
    pub(crate) fn set_quota(&mut self, tenant: TenantId, quota: Quota, revision: u64) -> bool {
        take(&mut self.quotas, tenant, quota, revision)
    }

    /// Forgets a quota that was deleted.
    pub(crate) fn remove_quota(&mut self, tenant: &TenantId) {
        self.quotas.remove(tenant);
    }

    /// What is wanted of a node.
    pub(crate) fn mode(&self, node: &NodeId) -> NodeMode {
        self.modes.get(node).map(|(record, _)| record.mode).unwrap_or_default()
    }

    /// Every quota that was set.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = (&TenantId, &Quota)> {
        self.quotas.iter().map(|(tenant, (quota, _))| (tenant, quota))
    }
}

fn decode<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    let read = serde_json::from_slice(&entry.value);
    read.inspect_err(|error| tracing::error!(key = entry.key, %error, "an entry of the registry is damaged")).ok()
}

async fn all<T: DeserializeOwned>(engine: &Engine, prefix: &str) -> Result<Vec<(String, T, u64)>, Fault> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = engine.registry.list(prefix, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key.clone());
        for entry in &page {
            let name = entry.key.strip_prefix(prefix).unwrap_or_default().to_owned();
            found.extend(decode(entry).map(|value| (name, value, entry.revision)));
        }
    }
}

async fn put(engine: &Engine, key: &str, value: &impl Serialize) -> Result<u64, Fault> {
    let bytes = serde_json::to_vec(value).map_err(|e| Fault::new(Code::Internal, e.to_string()))?;
    Ok(engine.registry.put(key, Bytes::from(bytes), Expect::Any).await?)
}

/// Keeps what is wanted of a node; gives the revision.
pub(crate) async fn keep_mode(engine: &Engine, node: &NodeId, record: &NodeRecord) -> Result<u64, Fault> {
    put(engine, &format!("{NODES}{node}"), record).await
}

/// Removes what was wanted of a node, unless it has changed since `revision`.
///
/// # Errors
/// The registry's fault.
pub(crate) async fn forget_mode(
    registry: &dyn Registry,
    node: &NodeId,
    revision: u64,
) -> Result<(), fabric_engine::Error> {
    match registry.delete(&format!("{NODES}{node}"), Expect::Revision(revision)).await {
        Ok(()) | Err(fabric_engine::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps a quota; gives the revision.
pub(crate) async fn keep_quota(engine: &Engine, tenant: &TenantId, quota: &Quota) -> Result<u64, Fault> {
    put(engine, &format!("{QUOTAS}{tenant}"), quota).await
}

/// Deletes a quota. Deleting one that is not there is fine.
pub(crate) async fn delete_quota(engine: &Engine, tenant: &TenantId) -> Result<(), Fault> {
    Ok(engine.registry.delete(&format!("{QUOTAS}{tenant}"), Expect::Any).await?)
}

/// The quota in the registry with its revision.
pub(crate) async fn kept_quota(engine: &Engine, tenant: &TenantId) -> Result<Option<(Quota, u64)>, Fault> {
    let entry = engine.registry.get(&format!("{QUOTAS}{tenant}")).await?;
    Ok(entry.and_then(|entry| decode(&entry).map(|quota| (quota, entry.revision))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_drain_ends_with_its_process_and_a_cordon_does_not() {
        let (node, mut wishes) = (NodeId::new("n1").unwrap(), Wishes::default());
        assert!(wishes.set_mode(node.clone(), NodeRecord::new(NodeMode::Draining, 100, Some(7)), 1));
        assert_eq!((wishes.end_drain(&node, 100), wishes.drained_by(&node)), (None, Some(7)));
        assert_eq!(wishes.mode(&node), NodeMode::Draining);
        assert_eq!(wishes.end_drain(&node, 200), Some(1));
        assert_eq!((wishes.mode(&node), wishes.drained_by(&node)), (NodeMode::Open, None));
        assert!(wishes.set_mode(node.clone(), NodeRecord::new(NodeMode::Cordoned, 200, Some(7)), 2));
        assert_eq!((wishes.end_drain(&node, 300), wishes.drained_by(&node)), (None, None));
        assert_eq!(wishes.mode(&node), NodeMode::Cordoned);
    }
}
