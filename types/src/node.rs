//! Facts that nodes announce about themselves.

use crate::{digest::ModuleDigest, function::EntryKind, gpu::GpuSupport, id::NodeId, label::Labels};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The facts that a node announces about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeFacts {
    /// Name of the node.
    pub id: NodeId,
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

/// Returns a module's name in [`NodeFacts::warm`].
#[must_use]
pub fn warm_name(module: &ModuleDigest) -> String {
    let mut name = module.hex();
    name.truncate(16);
    name
}

fn usual_speed() -> f64 {
    1.0
}
