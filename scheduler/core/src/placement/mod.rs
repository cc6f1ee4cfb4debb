//! Placement of attempts: filters select the nodes that can take an attempt, and scores rank them. The names are those
//! of the Kubernetes scheduler.
//!
//! No decision examines every node. At most [`EXAMINED`] open nodes are filtered, those with the most free units first
//! and from a rotating start. The search ends once [`SCORED`] nodes have passed, and those are scored (the idea of
//! Kubernetes' `percentageOfNodesToScore` and of Mitzenmacher's "The Power of Two Choices"). Only nodes that suit the
//! request regardless of their load count as examined: a job that requires rare labels or GPUs pays for skipping the
//! others.

mod explain;
pub(crate) mod filters;
pub(crate) mod scores;

use crate::{
    Config,
    node::{Demand, Nodes, PerNode},
};
use fabric_types::{
    function::EntryKind,
    gpu::GpuRequirement,
    id::{NodeId, TenantId},
    label::Labels,
};

/// Open nodes that one decision examines.
pub const EXAMINED: usize = 64;
/// Nodes that one decision scores.
pub const SCORED: usize = 16;
/// Hinted nodes that one decision examines first.
const HINTED: usize = 8;

/// An attempt to place, for [`crate::Core::explain`].
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// Owning tenant.
    pub tenant: TenantId,
    /// CPU slots of an attempt.
    pub cpu_slots: u32,
    /// Memory of an attempt in bytes.
    pub memory_bytes: u64,
    /// GPUs of an attempt.
    pub gpus: u32,
    /// Use of the node's shared GPU.
    pub gpu: GpuRequirement,
    /// Entry kind of the module.
    pub kind: EntryKind,
    /// Labels that the node must have.
    pub labels: Labels,
    /// Nodes that hold the module or the input.
    pub hints: Vec<NodeId>,
    /// Node on which the task failed.
    pub excluded: Option<NodeId>,
}

/// An attempt to place, with indices instead of names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub demand: Demand,
    pub labels: &'a Labels,
    pub kind: EntryKind,
    pub gpu: GpuRequirement,
    /// Expected work in microseconds on a node of speed 1; `None` if nothing was measured.
    pub work_us: Option<f64>,
    pub excluded: Option<u32>,
    /// Slower nodes are skipped; 0 skips none.
    pub least_speed: f64,
    pub hints: &'a [u32],
    pub per_node: &'a PerNode,
}

/// A node with room for an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub node: u32,
    pub depth: u16,
    /// Number of such attempts that fit, at least 1.
    pub room: u32,
}

/// Longest task for which two are queued per slot, as a multiple of [`Config::queue_ahead_us`].
const DOUBLE_QUEUE_FACTOR: f64 = 20.0;

/// Returns the queue depth of a job's tasks on a node of this speed: enough per slot to keep about
/// [`Config::queue_ahead_us`] of work ahead. Somewhat longer tasks are queued two deep, because a round trip leaves
/// their slot idle as well. Attempts with GPUs have depth 1.
pub(crate) fn depth(config: &Config, request: &Request<'_>, speed: f64) -> u16 {
    if request.demand.gpus > 0 {
        return 1;
    }
    let most = config.max_depth.clamp(1, 1024);
    let Some(work) = request.work_us else { return u16::try_from(config.initial_depth.clamp(1, most)).unwrap_or(1) };
    let per_task = (work / speed).max(1.0);
    #[allow(clippy::cast_precision_loss)]
    let ahead = config.queue_ahead_us as f64 / per_task;
    let least = if ahead * DOUBLE_QUEUE_FACTOR >= 1.0 { 2.0 } else { 1.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let depth = ahead.max(least).min(f64::from(most)) as u16;
    depth
}

/// Returns the best of the examined nodes.
pub(crate) fn find(config: &Config, nodes: &mut Nodes, request: &Request<'_>) -> Option<Candidate> {
    nodes.cursor = nodes.cursor.wrapping_add(1);
    let nodes = &*nodes;
    let hinted = request.hints.iter().copied().take(HINTED);
    let mut passed: Vec<Candidate> = Vec::with_capacity(SCORED);
    for ix in hinted.chain(nodes.candidates(EXAMINED, |node| filters::suits(node, request))) {
        let Some(node) = nodes.get(ix) else { continue };
        let known = passed.iter().any(|f| f.node == ix);
        if known || !filters::ready(node) || !filters::suits(node, request) || !filters::not_excluded(ix, request) {
            continue;
        }
        if node.measured_speed() < request.least_speed {
            continue;
        }
        let depth = depth(config, request, node.measured_speed());
        if let Some(room) = filters::room(node, request, depth) {
            passed.push(Candidate { node: ix, depth, room });
            if passed.len() == SCORED {
                break;
            }
        }
    }
    let most = passed.iter().map(|f| request.per_node.get(&f.node).copied().unwrap_or(0)).max().unwrap_or(0);
    let mut best: Option<(f64, Candidate)> = None;
    for found in passed {
        let Some(node) = nodes.get(found.node) else { continue };
        let total = scores::total(&scores::all(config, nodes, node, found.node, request, most));
        if best.as_ref().is_none_or(|(b, _)| total > *b) {
            best = Some((total, found));
        }
    }
    best.map(|(_, found)| found)
}
