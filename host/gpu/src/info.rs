//! What is known of an adapter.

use serde::{Deserialize, Serialize};

/// Whether a chip or the processor does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A GPU.
    Hardware,
    /// The processor, through a driver such as lavapipe.
    Software,
}

/// What became of a loop of [`LoopProbe::ASKED`] rounds at the worker's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopProbe {
    /// It ran to its end.
    Complete,
    /// The driver ended it early, without a word. Lavapipe 22.3 stops every loop after 65,535 rounds.
    Truncated {
        /// Rounds that were run.
        rounds: u32,
    },
}

impl LoopProbe {
    /// Rounds asked for: more than 16 bits count.
    pub const ASKED: u32 = 100_000;
}

/// An adapter as its worker found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The adapter's name, such as `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// Hardware or software.
    pub kind: Kind,
    /// The driver's name and version.
    pub driver: String,
    /// Whether WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest and largest subgroup, where subgroup operations are there.
    pub subgroup_size: Option<(u32, u32)>,
    /// Whether device time comes from the device's own clock; else it is the time from submit to done.
    pub timestamps: bool,
    /// What all sessions together may allocate, in bytes: from the node's options, Vulkan's budget is not asked.
    pub memory_bytes: u64,
    /// The node's limits, lowered to the adapter's.
    pub limits: crate::Limits,
    /// Whether long loops run to their end.
    pub loop_probe: LoopProbe,
}

impl Info {
    /// What a result depends on beside its inputs: adapter, driver and the compiler's version.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{} | {} | naga {}", self.name, self.driver, crate::shader::NAGA)
    }
}
