//! Where an attempt goes: filters say where it may, scores say where it is best. The names are those of the Kubernetes
//! scheduler.
//!
//! No decision looks at every node: at most [`EXAMINED`] open nodes are filtered, the freest first and beginning at
//! another one each time, and at most [`SCORED`] of those that pass are scored (the idea of Kubernetes'
//! `percentageOfNodesToScore` and of Mitzenmacher's "The Power of Two Choices"). A cluster of up to `EXAMINED` nodes
//! is always looked through whole. Only nodes of the right sort count as looked at: a job that asks for rare labels or
//! GPUs pays for passing over the others.

mod explain;
pub(crate) mod filters;
pub(crate) mod scores;

use crate::{
    Config,
    node::{Demand, Nodes, PerNode},
};
use fabric_types::{
    function::EntryKind,
    id::{NodeId, TenantId},
    label::Labels,
    manifest::GpuMode,
};

/// Open nodes that one decision looks at.
pub const EXAMINED: usize = 64;
/// Nodes that one decision scores.
pub const SCORED: usize = 16;
/// Hinted nodes that one decision looks at first.
const HINTED: usize = 8;

/// What is to be placed, for [`crate::Core::explain`].
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// For whom.
    pub tenant: TenantId,
    /// CPU slots of an attempt.
    pub cpu_slots: u32,
    /// Memory of an attempt in bytes.
    pub memory_bytes: u64,
    /// GPUs of an attempt.
    pub gpus: u32,
    /// Whether it uses the node's GPU together with others.
    pub gpu: GpuMode,
    /// The kind of module.
    pub kind: EntryKind,
    /// Labels that the node must have.
    pub labels: Labels,
    /// Nodes that hold the module or the input.
    pub hints: Vec<NodeId>,
    /// A node on which the task failed.
    pub excluded: Option<NodeId>,
}

/// What is to be placed, with indices for names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub demand: Demand,
    pub labels: &'a Labels,
    pub kind: EntryKind,
    pub gpu: GpuMode,
    /// Expected work: microseconds on a node of speed 1; none when nothing was measured.
    pub work_us: Option<f64>,
    pub excluded: Option<u32>,
    /// Slower nodes are left aside; 0 for none.
    pub least_pace: f64,
    pub hints: &'a [u32],
    pub per_node: &'a PerNode,
}

/// A node with room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub node: u32,
    pub depth: u16,
    /// How many such attempts it has room for, at least 1.
    pub room: u32,
}

/// Longest task, in times of [`Config::queue_ahead_us`], of which a second one waits for each slot.
const SHORT: f64 = 20.0;

/// How deep a job's tasks are queued on a node of this speed: so many per slot that about
/// [`Config::queue_ahead_us`] of work lies ahead, and two of somewhat longer ones, whose round trip costs a slot too. A GPU
/// is for one at a time.
pub(crate) fn depth(config: &Config, request: &Request<'_>, speed: f64) -> u16 {
    if request.demand.gpus > 0 {
        return 1;
    }
    let most = config.max_depth.clamp(1, 1024);
    let Some(work) = request.work_us else { return u16::try_from(config.initial_depth.clamp(1, most)).unwrap_or(1) };
    let per_task = (work / speed).max(1.0);
    #[allow(clippy::cast_precision_loss)]
    let ahead = config.queue_ahead_us as f64 / per_task;
    let least = if ahead * SHORT >= 1.0 { 2.0 } else { 1.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let depth = ahead.max(least).min(f64::from(most)) as u16;
    depth
}

/// The best node among those looked at.
pub(crate) fn find(config: &Config, nodes: &mut Nodes, request: &Request<'_>) -> Option<Found> {
    nodes.cursor = nodes.cursor.wrapping_add(1);
    let nodes = &*nodes;
    let hinted = request.hints.iter().copied().take(HINTED);
    let mut passed: Vec<Found> = Vec::with_capacity(SCORED);
    for ix in hinted.chain(nodes.candidates(EXAMINED, |node| filters::suits(node, request))) {
        let Some(node) = nodes.get(ix) else { continue };
        let known = passed.iter().any(|f| f.node == ix);
        if known || !filters::ready(node) || !filters::suits(node, request) || !filters::not_excluded(ix, request) {
            continue;
        }
        if node.pace() < request.least_pace {
            continue;
        }
        let depth = depth(config, request, node.pace());
        if let Some(room) = filters::room(node, request, depth) {
            passed.push(Found { node: ix, depth, room });
            if passed.len() == SCORED {
                break;
            }
        }
    }
    let most = passed.iter().map(|f| request.per_node.get(&f.node).copied().unwrap_or(0)).max().unwrap_or(0);
    let mut best: Option<(f64, Found)> = None;
    for found in passed {
        let Some(node) = nodes.get(found.node) else { continue };
        let total = scores::total(&scores::all(config, nodes, node, found.node, request, most));
        if best.as_ref().is_none_or(|(b, _)| total > *b) {
            best = Some((total, found));
        }
    }
    best.map(|(_, found)| found)
}
