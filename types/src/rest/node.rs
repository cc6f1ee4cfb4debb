//! Nodes, placement, usage.

use crate::{
    dataset::InputSpec,
    digest::ModuleDigest,
    function::EntryKind,
    id::{FunctionName, NodeId, TenantId},
    label::Labels,
    manifest::GpuMode,
    price::Prices,
    rest::job::JobPlan,
    storage::Storage,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// `ready`, `cordoned`, `draining`, `drained` (it drains and has nothing left) or `lost`.
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
    /// Memory for guests in bytes: the machine's, unless the operator set another figure.
    pub memory_bytes: u64,
    /// Resident memory of the process in bytes.
    pub used_bytes: u64,
    /// Compiled modules it holds.
    pub modules: u32,
    /// GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Their model, where the machine says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_model: Option<String>,
    /// The one that guests use through `fabric:gpu`; absent when they can use none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuAdapter>,
    /// Why they can use none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_absent: Option<String>,
    /// Speed of one CPU, relative to a usual one; 1 until it is measured.
    #[serde(default = "usual_speed")]
    pub speed: f64,
    /// Kinds of modules that it takes; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<EntryKind>,
    /// Labels.
    pub labels: Labels,
    /// Where other processes reach it; absent when it takes no calls from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Modules that it holds in memory, the most used of them: the first 16 digits of their digests, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<String>,
    /// Whether it is about to end and drains itself.
    #[serde(default)]
    pub leaving: bool,
    /// Since when.
    pub started_ms: u64,
    /// Number of the process among those that have had this name; 0 where there is no fleet.
    #[serde(default)]
    pub epoch: u64,
    /// Last heartbeat.
    pub seen_ms: u64,
}

/// What does a node's GPU work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GpuKind {
    /// A GPU.
    Hardware,
    /// The processor, through a software driver.
    Software,
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware",
            Self::Software => "software",
        })
    }
}

/// The adapter that a node's guests share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GpuAdapter {
    /// Its name, such as `NVIDIA H200`.
    pub name: String,
    /// Hardware or software.
    pub kind: GpuKind,
    /// The driver's name and version.
    pub driver: String,
    /// The strongest wish that it serves: `preferred`, or `required` too.
    pub serves: GpuMode,
    /// What all calls together may allocate, in bytes.
    pub memory_bytes: u64,
    /// Most bytes of one buffer.
    pub buffer_bytes: u64,
    /// Most bytes of workgroup memory.
    pub workgroup_memory_bytes: u64,
    /// Most invocations of a workgroup.
    pub workgroup_invocations: u64,
    /// Whether WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest subgroup, where WGSL has subgroup operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgroup_min: Option<u32>,
    /// Largest subgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgroup_max: Option<u32>,
    /// Whether loops of 100,000 rounds run to their end, as tried at the start. Some software drivers cut them short.
    pub long_loops: bool,
    /// Calls that wait for it now.
    pub queued: u32,
}

/// How a module is named in [`Node::warm`].
#[must_use]
pub fn warm_name(module: &ModuleDigest) -> String {
    let mut name = module.hex();
    name.truncate(16);
    name
}

fn usual_speed() -> f64 {
    1.0
}

/// Asks where a function would run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The function, as `name`, `name@version` or `name:alias`.
    pub function: String,
    /// A data set to map over, as in a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// Parameters.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Labels that the node must have, besides those that the function needs.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub node_selector: Labels,
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
    /// What the job would take, where an input was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobPlan>,
}

/// What a tenant has used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageLine {
    /// The function.
    pub function: Option<FunctionName>,
    /// Calls and tasks that ran.
    pub invocations: u64,
    /// Of those, how many failed.
    pub failed: u64,
    /// Of those, how many ended because their callers left.
    pub cancelled: u64,
    /// Served from the cache.
    pub cached: u64,
    /// Fuel.
    pub fuel: u64,
    /// Wall clock inside sandboxes, microseconds.
    pub guest_us: u64,
    /// Device time of GPU work, microseconds; shaders' checks and compilation count too.
    #[serde(default)]
    pub gpu_us: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Price of fuel and device time, where the server has prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
}

/// A tenant's usage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Whose.
    pub tenant: TenantId,
    /// Start of the first day that counts (UTC), milliseconds since 1970; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// End of the last day that counts (UTC), milliseconds since 1970; absent for up to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Prices, where the server has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// All of it.
    pub total: UsageLine,
    /// By function.
    pub functions: Vec<UsageLine>,
    /// Bytes of stored objects.
    pub object_bytes: u64,
    /// What it keeps on disk, by kind, and what it may keep.
    #[serde(default)]
    pub storage: Storage,
}
