//! Operator settings for nodes and tenants: the modes of nodes, and the quotas of tenants. They are stored in the
//! registry, under `sys/nodes/{node}` and `sys/quota/{tenant}`, so that they outlive nodes and owners.

use bytes::Bytes;
use fabric_backend::{
    Backend,
    registry::{Precondition, Registry, RegistryEntry},
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
/// Entries in a page of the list.
const PAGE: usize = 1000;

/// The mode of a node, as set by an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeMode {
    /// Accepts work.
    #[default]
    Open,
    /// Accepts no new work, and stays.
    Cordoned,
    /// Accepts no new work, and is about to leave.
    Draining,
}

impl NodeMode {
    /// Prefix of the registry keys: `sys/nodes/{node}`.
    pub const PREFIX: &str = NODES;

    /// Reads the node and its mode from a registry entry; `None` if the entry cannot be read.
    #[must_use]
    pub fn read(entry: &RegistryEntry) -> Option<(NodeId, Self)> {
        let node = NodeId::new(entry.key.strip_prefix(NODES)?).ok()?;
        let record: NodeRecord = serde_json::from_slice(&entry.value).ok()?;
        Some((node, record.mode))
    }

    /// Returns the core's event for the mode.
    pub(crate) fn event(self, node: NodeId) -> Event {
        match self {
            Self::Open => Event::Uncordon { node },
            Self::Cordoned => Event::Cordon { node },
            Self::Draining => Event::Drain { node },
        }
    }
}

/// An operator's setting of a node, as stored in the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) mode: NodeMode,
    /// Start time of the process that is to be drained. The next process of that name accepts work again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_ms: Option<u64>,
    /// Time at which remaining tasks are stopped and run on other nodes, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_ms: Option<u64>,
}

impl NodeRecord {
    /// Creates the setting for the process that started at `started_ms`.
    pub(crate) fn new(mode: NodeMode, started_ms: u64, until_ms: Option<u64>) -> Self {
        let of_process = mode == NodeMode::Draining;
        Self { mode, started_ms: of_process.then_some(started_ms), until_ms: until_ms.filter(|_| of_process) }
    }

    /// Reports whether the setting drains a process other than the one that started at `started_ms`.
    fn is_over(&self, started_ms: u64) -> bool {
        self.mode == NodeMode::Draining && self.started_ms.is_some_and(|drained| drained != started_ms)
    }
}

/// Settings with their registry revisions. Of two concurrent changes, the later one stays.
#[derive(Debug, Default)]
pub(crate) struct OperatorSettings {
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

impl OperatorSettings {
    /// Reads all settings.
    ///
    /// # Errors
    /// The registry's fault. A damaged entry is logged and skipped.
    pub(crate) async fn load(backend: &Backend) -> Result<Self, Fault> {
        let mut settings = Self::default();
        for (name, record, revision) in all::<NodeRecord>(backend, NODES).await? {
            if let Ok(node) = NodeId::new(&name) {
                take(&mut settings.modes, node, record, revision);
            }
        }
        for (name, quota, revision) in all::<Quota>(backend, QUOTAS).await? {
            if let Ok(tenant) = TenantId::new(&name) {
                take(&mut settings.quotas, tenant, quota, revision);
            }
        }
        Ok(settings)
    }

    /// Applies a change. Returns `true` if it is the latest.
    pub(crate) fn set_mode(&mut self, node: NodeId, record: NodeRecord, revision: u64) -> bool {
        take(&mut self.modes, node, record, revision)
    }

    /// Ends the drain of a process that was replaced by another one of its name. Returns the revision of the entry to
    /// remove from the registry.
    pub(crate) fn end_drain(&mut self, node: &NodeId, started_ms: u64) -> Option<u64> {
        let (record, revision) = self.modes.get_mut(node)?;
        if !record.is_over(started_ms) {
            return None;
        }
        *record = NodeRecord::default();
        Some(*revision)
    }

    /// Returns the time at which remaining work on a draining node is stopped.
    pub(crate) fn drained_by(&self, node: &NodeId) -> Option<u64> {
        self.modes.get(node)?.0.until_ms
    }

    /// Applies a change. Returns `true` if it is the latest.
    pub(crate) fn set_quota(&mut self, tenant: TenantId, quota: Quota, revision: u64) -> bool {
        take(&mut self.quotas, tenant, quota, revision)
    }

    /// Removes a quota that was deleted.
    pub(crate) fn remove_quota(&mut self, tenant: &TenantId) {
        self.quotas.remove(tenant);
    }

    /// Returns the mode of a node.
    pub(crate) fn mode(&self, node: &NodeId) -> NodeMode {
        self.modes.get(node).map(|(record, _)| record.mode).unwrap_or_default()
    }

    /// Returns every quota that was set.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = (&TenantId, &Quota)> {
        self.quotas.iter().map(|(tenant, (quota, _))| (tenant, quota))
    }
}

fn decode<T: DeserializeOwned>(entry: &RegistryEntry) -> Option<T> {
    let read = serde_json::from_slice(&entry.value);
    read.inspect_err(|error| tracing::error!(key = entry.key, %error, "registry entry is damaged, skipping it")).ok()
}

async fn all<T: DeserializeOwned>(backend: &Backend, prefix: &str) -> Result<Vec<(String, T, u64)>, Fault> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = backend.registry.list(prefix, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key.clone());
        for entry in &page {
            let name = entry.key.strip_prefix(prefix).unwrap_or_default().to_owned();
            found.extend(decode(entry).map(|value| (name, value, entry.revision)));
        }
    }
}

async fn put(backend: &Backend, key: &str, value: &impl Serialize) -> Result<u64, Fault> {
    let bytes = serde_json::to_vec(value).map_err(|e| Fault::new(Code::Internal, e.to_string()))?;
    Ok(backend.registry.put(key, Bytes::from(bytes), Precondition::Any).await?)
}

/// Stores the setting of a node. Returns the revision.
pub(crate) async fn keep_mode(backend: &Backend, node: &NodeId, record: &NodeRecord) -> Result<u64, Fault> {
    put(backend, &format!("{NODES}{node}"), record).await
}

/// Removes the setting of a node, unless it has changed since `revision`.
///
/// # Errors
/// The registry's fault.
pub(crate) async fn forget_mode(
    registry: &dyn Registry,
    node: &NodeId,
    revision: u64,
) -> Result<(), fabric_backend::Error> {
    match registry.delete(&format!("{NODES}{node}"), Precondition::Revision(revision)).await {
        Ok(()) | Err(fabric_backend::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Stores a quota. Returns the revision.
pub(crate) async fn keep_quota(backend: &Backend, tenant: &TenantId, quota: &Quota) -> Result<u64, Fault> {
    put(backend, &format!("{QUOTAS}{tenant}"), quota).await
}

/// Deletes a quota. Deleting an absent quota succeeds.
pub(crate) async fn delete_quota(backend: &Backend, tenant: &TenantId) -> Result<(), Fault> {
    Ok(backend.registry.delete(&format!("{QUOTAS}{tenant}"), Precondition::Any).await?)
}

/// Returns the quota in the registry, with its revision.
pub(crate) async fn kept_quota(backend: &Backend, tenant: &TenantId) -> Result<Option<(Quota, u64)>, Fault> {
    let entry = backend.registry.get(&format!("{QUOTAS}{tenant}")).await?;
    Ok(entry.and_then(|entry| decode(&entry).map(|quota| (quota, entry.revision))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_ends_with_its_process_and_a_cordon_does_not() {
        let (node, mut settings) = (NodeId::new("n1").unwrap(), OperatorSettings::default());
        assert!(settings.set_mode(node.clone(), NodeRecord::new(NodeMode::Draining, 100, Some(7)), 1));
        assert_eq!((settings.end_drain(&node, 100), settings.drained_by(&node)), (None, Some(7)));
        assert_eq!(settings.mode(&node), NodeMode::Draining);
        assert_eq!(settings.end_drain(&node, 200), Some(1));
        assert_eq!((settings.mode(&node), settings.drained_by(&node)), (NodeMode::Open, None));
        assert!(settings.set_mode(node.clone(), NodeRecord::new(NodeMode::Cordoned, 200, Some(7)), 2));
        assert_eq!((settings.end_drain(&node, 300), settings.drained_by(&node)), (None, None));
        assert_eq!(settings.mode(&node), NodeMode::Cordoned);
    }
}
