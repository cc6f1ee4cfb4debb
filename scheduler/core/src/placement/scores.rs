//! Scores from 0 to 100 that rate how well a node suits an attempt. The total is their weighted mean.
//!
//! `LeastRequested`, `BalancedResourceAllocation` and `SelectorSpread` follow the Kubernetes scheduler's priorities of
//! those names (kubernetes/kubernetes 1.10, `pkg/scheduler/algorithm/priorities`), scaled from 10 to 100.

use super::Request;
use crate::{
    Config,
    node::{Node, Nodes},
};
use fabric_types::gpu::{GpuRequirement, GpuSupport};

/// Name of the score that applies only to functions that use a GPU.
pub(crate) const GPU: &str = "Gpu";

/// One score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub name: &'static str,
    pub value: f64,
    pub weight: f64,
}

#[allow(clippy::cast_precision_loss)]
fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) }
}

/// Returns all scores. `most` is the largest number of the job's attempts on one of the candidates.
pub(crate) fn all(
    config: &Config,
    nodes: &Nodes,
    node: &Node,
    ix: u32,
    request: &Request<'_>,
    most: u32,
) -> [Scored; 6] {
    let cpu = fraction(node.units, node.capacity());
    let memory = fraction(node.mem, node.memory);
    let here = request.per_node.get(&ix).copied().unwrap_or(0);
    let weights = config.weights;
    [
        // ((capacity - requested) / capacity), the mean of CPU and memory.
        Scored {
            name: "LeastRequested",
            value: f64::midpoint(1.0 - cpu, 1.0 - memory) * 100.0,
            weight: weights.least_requested,
        },
        // 1 - |cpu fraction - memory fraction|.
        Scored {
            name: "BalancedResourceAllocation",
            value: (1.0 - (cpu - memory).abs()) * 100.0,
            weight: weights.balanced_resource_allocation,
        },
        // (max - here) / max, over attempts of the same job.
        Scored {
            name: "SelectorSpread",
            value: if most == 0 { 100.0 } else { 100.0 - fraction(u64::from(here), u64::from(most)) * 100.0 },
            weight: weights.selector_spread,
        },
        Scored {
            name: "Locality",
            value: if request.hints.contains(&ix) { 100.0 } else { 0.0 },
            weight: weights.locality,
        },
        // The expected time is work / speed, so min(T_i / R_i) over nodes, scaled by the fastest, is speed / max speed.
        Scored {
            name: "Speed",
            value: (node.measured_speed() / nodes.max_speed()).min(1.0) * 100.0,
            weight: weights.speed,
        },
        // Order of preference: a GPU, then an acceptable software driver, then none.
        Scored {
            name: GPU,
            value: match node.gpu {
                GpuSupport::Full => 100.0,
                GpuSupport::Partial => 50.0,
                GpuSupport::None => 0.0,
            },
            weight: if request.gpu == GpuRequirement::None { 0.0 } else { weights.gpu },
        },
    ]
}

/// Returns the weighted mean.
pub(crate) fn total(scores: &[Scored]) -> f64 {
    let weights: f64 = scores.iter().map(|s| s.weight).sum();
    if weights <= 0.0 { 0.0 } else { scores.iter().map(|s| s.value * s.weight).sum::<f64>() / weights }
}
