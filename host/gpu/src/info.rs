//! Description of an adapter.

use serde::{Deserialize, Serialize};

/// The kind of processor behind an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// A GPU.
    Hardware,
    /// The CPU, through a driver such as lavapipe.
    Software,
}

/// Result of running a loop of [`LoopProbe::ASKED`] iterations when the worker starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopProbe {
    /// The loop ran to completion.
    Complete,
    /// The driver ended the loop early without an error. Lavapipe 22.3 ends every loop after 65,535 iterations.
    Truncated {
        /// Iterations that ran.
        rounds: u32,
    },
}

impl LoopProbe {
    /// Iterations requested: more than 16 bits can count.
    pub const ASKED: u32 = 100_000;
}

/// An adapter, as reported by its worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterInfo {
    /// The adapter's name, such as `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// Hardware or software.
    pub kind: AdapterKind,
    /// The driver's name and version.
    pub driver: String,
    /// True if WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest and largest subgroup size; `None` without subgroup operations.
    pub subgroup_size: Option<(u32, u32)>,
    /// True if device time is measured by the device's clock. Otherwise it is the time from submission to completion.
    pub timestamps: bool,
    /// Memory that all sessions together may allocate, in bytes. Set by the node's options; Vulkan's budget is not
    /// queried.
    pub memory_bytes: u64,
    /// The node's limits, lowered to those of the adapter.
    pub limits: crate::AdapterLimits,
    /// Result of the loop probe.
    pub loop_probe: LoopProbe,
}

impl AdapterInfo {
    /// Returns an identity of the environment that results depend on: adapter, driver and compiler version.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{} | {} | naga {}", self.name, self.driver, crate::shader::NAGA)
    }
}
