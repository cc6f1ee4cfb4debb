//! Nodes, placement, usage.

use crate::{
    digest::ModuleDigest,
    id::{FunctionName, NodeId, TenantId},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// `ready`, `cordoned`, `draining` or `lost`.
    pub state: String,
    /// Version of the binary.
    pub version: String,
    /// The sandbox engine's fingerprint.
    pub engine: String,
    /// Guests it runs at once.
    pub cpu_slots: u32,
    /// Guests running now.
    pub running: u32,
    /// Tasks waiting on the node.
    pub queued: u32,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Resident memory of the process in bytes.
    pub used_bytes: u64,
    /// Compiled modules it holds.
    pub modules: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where other processes reach it; absent when it takes no calls from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Modules that it holds in memory, the most used of them: the first 16 digits of their digests, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<String>,
    /// Since when.
    pub started_ms: u64,
    /// Last heartbeat.
    pub seen_ms: u64,
}

/// How a module is named in [`Node::warm`].
#[must_use]
pub fn warm_name(module: &ModuleDigest) -> String {
    let mut name = module.hex();
    name.truncate(16);
    name
}

/// Asks where a function would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The function, as `name`, `name@version` or `name:alias`.
    pub function: String,
}

/// One filter's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdict {
    /// The filter, such as `Fits`.
    pub filter: String,
    /// Whether the node passes.
    pub passed: bool,
    /// Why.
    pub reason: String,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Score {
    /// The score, such as `LeastRequested`.
    pub name: String,
    /// 0 to 100.
    pub value: f64,
    /// Its weight in the sum.
    pub weight: f64,
}

/// A node in a placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeVerdict {
    /// The node.
    pub node: NodeId,
    /// Each filter, in order.
    pub filters: Vec<Verdict>,
    /// Each score; empty where a filter refused.
    pub scores: Vec<Score>,
    /// The weighted mean of the scores.
    pub total: Option<f64>,
}

/// A placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Every node.
    pub nodes: Vec<NodeVerdict>,
    /// Where it would go; none where no node passes.
    pub winner: Option<NodeId>,
    /// One sentence.
    pub remark: String,
}

/// What a tenant has used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageLine {
    /// The function.
    pub function: Option<FunctionName>,
    /// Calls and tasks that ran.
    pub invocations: u64,
    /// Of those, how many failed.
    pub failed: u64,
    /// Served from the cache.
    pub cached: u64,
    /// Fuel.
    pub fuel: u64,
    /// Wall clock inside sandboxes, microseconds.
    pub guest_us: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// A tenant's usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Whose.
    pub tenant: TenantId,
    /// All of it.
    pub total: UsageLine,
    /// By function.
    pub functions: Vec<UsageLine>,
    /// Bytes of stored objects.
    pub object_bytes: u64,
}
