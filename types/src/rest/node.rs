//! Nodes, placement and usage.

use crate::{
    Cost,
    digest::ModuleDigest,
    function::EntryKind,
    gpu::GpuSupport,
    id::{FunctionName, NodeId, TenantId},
    label::Labels,
    price::Prices,
    rest::job::JobPlan,
    storage::Storage,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Name of the node.
    pub id: NodeId,
    /// `ready`, `cordoned`, `draining`, `drained` (draining with no work left) or `lost`.
    pub state: String,
    /// Version of the binary.
    pub version: String,
    /// Fingerprint of the sandbox engine.
    pub engine: String,
    /// Maximum number of guests at once.
    pub cpu_slots: u32,
    /// Guests that run now.
    pub running: u32,
    /// Tasks that wait on the node.
    pub queued: u32,
    /// Memory for guests in bytes. Default: the machine's memory.
    pub memory_bytes: u64,
    /// Resident memory of the process in bytes.
    pub used_bytes: u64,
    /// Compiled modules in memory.
    pub modules: u32,
    /// Number of GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Model of the GPUs, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_model: Option<String>,
    /// Adapter that guests use through `fabric:gpu`; absent if they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuAdapter>,
    /// Reason why guests have no GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_absent: Option<String>,
    /// Speed of one CPU, relative to a reference CPU; 1 until it is measured.
    #[serde(default = "usual_speed")]
    pub speed: f64,
    /// Entry kinds that it accepts; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<EntryKind>,
    /// Labels.
    pub labels: Labels,
    /// URL for calls from other processes; absent if it accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The most used modules in memory: the first 16 digits of their digests, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<String>,
    /// `true` if it drains because it is about to shut down.
    #[serde(default)]
    pub leaving: bool,
    /// Start time.
    pub started_ms: u64,
    /// Term of the process among those that have had this name; 0 without a fleet.
    #[serde(default)]
    pub epoch: u64,
    /// Time of the last heartbeat.
    pub seen_ms: u64,
}

/// The kind of a node's GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// The GPU adapter that a node's guests share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GpuAdapter {
    /// Name of the adapter, such as `NVIDIA H200`.
    pub name: String,
    /// Hardware or software.
    pub kind: GpuKind,
    /// Name and version of the driver.
    pub driver: String,
    /// Strongest requirement of functions that it satisfies: `preferred` or `required`.
    pub serves: GpuSupport,
    /// Memory that all calls together may allocate, in bytes.
    pub memory_bytes: u64,
    /// Maximum size of one buffer in bytes.
    pub buffer_bytes: u64,
    /// Maximum workgroup memory in bytes.
    pub workgroup_memory_bytes: u64,
    /// Maximum invocations per workgroup.
    pub workgroup_invocations: u64,
    /// `true` if WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest subgroup size, if WGSL has subgroup operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgroup_min: Option<u32>,
    /// Largest subgroup size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgroup_max: Option<u32>,
    /// `true` if a loop of 100,000 rounds ran to its end in a test at the start. Some software drivers cut long loops
    /// short.
    pub long_loops: bool,
    /// Calls that wait for it now.
    pub queued: u32,
}

/// Returns a module's name in [`Node::warm`].
#[must_use]
pub fn warm_name(module: &ModuleDigest) -> String {
    let mut name = module.hex();
    name.truncate(16);
    name
}

fn usual_speed() -> f64 {
    1.0
}

/// The verdict of one filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdict {
    /// Name of the filter, such as `Fits`.
    pub filter: String,
    /// `true` if the node passes.
    pub passed: bool,
    /// Reason for the verdict.
    pub reason: String,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Score {
    /// Name of the score, such as `LeastRequested`.
    pub name: String,
    /// Value from 0 to 100.
    pub value: f64,
    /// Weight in the sum.
    pub weight: f64,
}

/// A node in a placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeVerdict {
    /// Node id.
    pub node: NodeId,
    /// Verdicts of the filters, in order.
    pub filters: Vec<Verdict>,
    /// Scores; empty if a filter rejected the node.
    pub scores: Vec<Score>,
    /// Weighted mean of the scores.
    pub total: Option<f64>,
}

/// A placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// All nodes.
    pub nodes: Vec<NodeVerdict>,
    /// Selected node; absent if no node passes.
    pub winner: Option<NodeId>,
    /// One sentence on the decision.
    pub remark: String,
    /// Size of the job, if the request has an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobPlan>,
}

/// The usage of a tenant or of one function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageLine {
    /// Name of the function; absent for a total.
    pub function: Option<FunctionName>,
    /// Calls and tasks that ran.
    pub invocations: u64,
    /// Failed ones among those.
    pub failed: u64,
    /// Those among them that were cancelled because the caller disconnected.
    pub cancelled: u64,
    /// Results served from the cache.
    pub cached: u64,
    /// Cost of the calls and tasks that ran.
    #[serde(flatten)]
    pub cost: Cost,
    /// Price of fuel and device time, if the server has prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
}

/// A tenant's usage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Tenant.
    pub tenant: TenantId,
    /// Start of the first included day (UTC), in milliseconds since 1970; absent if unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// End of the last included day (UTC), in milliseconds since 1970; absent for the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Prices, if the server has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Total usage.
    pub total: UsageLine,
    /// Usage by function.
    pub functions: Vec<UsageLine>,
    /// Size of stored objects in bytes.
    pub object_bytes: u64,
    /// Storage by kind, and the quota.
    #[serde(default)]
    pub storage: Storage,
}
