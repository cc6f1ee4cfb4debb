//! Filters: decide if a node can take an attempt at all, and describe the reason. Placement and `explain` share them.

use super::Request;
use crate::{
    node::{Load, Mode, Node, UNITS},
    queue::count,
};
use fabric_types::{
    gpu::{GpuRequirement, GpuSupport},
    label,
    units::ByteSize,
};

/// `Ready`: the node is up, within its lease, neither cordoned nor draining, and not reserved for a suspect.
pub(crate) fn ready(node: &Node) -> bool {
    node.is_ready()
}

/// Returns the reason for the verdict of [`ready`].
pub(crate) fn ready_reason(node: &Node) -> &'static str {
    match (node.up, node.silent, node.mode) {
        (false, ..) => "the node is down",
        (_, true, _) => "the node has sent no heartbeat within its lease",
        (.., Mode::Cordoned) => "the node is cordoned",
        (.., Mode::Draining) => "the node is draining",
        _ if node.exclusive.is_some() => "the node runs a single task alone, because a process died while running it",
        _ if node.reserved => "the node is reserved for a task, because a process died while running it",
        _ => "the node is up and takes work",
    }
}

/// `Labels`: the node has every required label with the required value (Kubernetes' `nodeSelector`).
pub(crate) fn labels(node: &Node, request: &Request<'_>) -> bool {
    request.labels.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

/// Returns the reason for the verdict of [`labels`].
pub(crate) fn labels_reason(node: &Node, request: &Request<'_>) -> String {
    if request.labels.is_empty() {
        return "no label is required".to_owned();
    }
    let missing = request.labels.iter().find(|(key, value)| node.labels.get(*key) != Some(*value));
    match missing.map(|(key, value)| (key, value, node.labels.get(key))) {
        None => format!("the node has {}", label::show(request.labels)),
        Some((key, value, None)) => format!("{key}={value} is required, and the node has no label {key}"),
        Some((key, value, Some(other))) => format!("{key}={value} is required, and the node has {key}={other}"),
    }
}

/// `ModuleKind`: the node accepts modules of this kind.
pub(crate) fn module_kind(node: &Node, request: &Request<'_>) -> bool {
    node.accepts.is_empty() || node.accepts.contains(&request.kind)
}

/// Returns the reason for the verdict of [`module_kind`].
pub(crate) fn module_kind_reason(node: &Node, request: &Request<'_>) -> String {
    if node.accepts.is_empty() {
        return "the node takes every kind of module".to_owned();
    }
    let taken: Vec<_> = node.accepts.iter().map(ToString::to_string).collect();
    format!("the node takes {}; this is a {} module", taken.join(", "), request.kind)
}

/// `NotExcluded`: the task's last attempt did not fail on this node.
pub(crate) fn not_excluded(ix: u32, request: &Request<'_>) -> bool {
    request.excluded != Some(ix)
}

/// The part of `Fits` for the GPU that guests share. Only functions that require one are refused.
pub(crate) fn shared_gpu(node: &Node, request: &Request<'_>) -> bool {
    request.gpu != GpuRequirement::Required || node.gpu.satisfies(request.gpu)
}

/// Reports whether the node suits the request regardless of its load. Narrows the search before it begins.
pub(crate) fn suits(node: &Node, request: &Request<'_>) -> bool {
    labels(node, request) && module_kind(node, request) && shared_gpu(node, request) && node.gpus >= request.demand.gpus
}

/// Reports whether such an attempt fits on the node when nothing else runs there.
pub(crate) fn could_fit(node: &Node, request: &Request<'_>) -> bool {
    let demand = request.demand;
    node.slots >= demand.slots && node.memory >= demand.memory && node.gpus >= demand.gpus
}

/// `Fits`: returns how many attempts at this depth the node has room for; `None` if it has room for none.
///
/// Some units must be free now, and the whole attempt must fit next to the node's long work. Short work ahead of it
/// drains within [`crate::Config::queue_ahead_us`], so the last attempt may exceed the free units. Otherwise a stream
/// of short tasks would fill every gap and keep a larger task out forever. GPUs are never shared. Deeply queued jobs
/// are refilled only when an eighth of the short work's room is free, so that their tasks are sent in batches.
pub(crate) fn room(node: &Node, request: &Request<'_>, depth: u16) -> Option<u32> {
    let demand = request.demand;
    let free = node.free_units();
    let beside_long = node.capacity().saturating_sub(node.long_units);
    if free == 0 || u64::from(demand.slots) * UNITS > beside_long || (depth >= 8 && free < beside_long / 8) {
        return None;
    }
    let load = Load::new(demand, depth);
    let mut room = (free / load.units.max(1)).max(1);
    if demand.memory > 0 {
        if demand.memory > node.memory.saturating_sub(node.long_mem) || node.mem >= node.memory {
            return None;
        }
        room = room.min(((node.memory - node.mem) / load.mem.max(1)).max(1));
    }
    if demand.gpus > 0 {
        if demand.gpus > node.free_gpus() {
            return None;
        }
        room = room.min(u64::from(node.free_gpus() / demand.gpus));
    }
    Some(u32::try_from(room).unwrap_or(u32::MAX))
}

/// Describes the values that [`room`] compares.
pub(crate) fn room_reason(node: &Node, request: &Request<'_>) -> String {
    let (demand, free) = (request.demand, ByteSize(node.memory.saturating_sub(node.mem)));
    #[allow(clippy::cast_precision_loss)]
    let slots = node.free_units() as f64 / UNITS as f64;
    let mut text = format!(
        "{} of {} and {free} of {} are free",
        short(slots),
        count(u64::from(node.slots), "slot"),
        ByteSize(node.memory)
    );
    let mut needs = format!("{} and {}", count(u64::from(demand.slots), "slot"), ByteSize(demand.memory));
    if node.gpus > 0 || demand.gpus > 0 {
        text = format!("{} of {}, {text}", node.free_gpus(), count(u64::from(node.gpus), "GPU"));
        needs = format!("{}, {needs}", count(u64::from(demand.gpus), "GPU"));
    }
    match (request.gpu, node.gpu) {
        (GpuRequirement::None, _) => format!("{text}; it needs {needs}"),
        (wish, GpuSupport::None) => format!("{text}, without a GPU for guests; it needs {needs}, a GPU is {wish}"),
        (wish, GpuSupport::Partial) => {
            format!("{text}, and a software driver's GPU; it needs {needs}, a GPU is {wish}")
        }
        (wish, GpuSupport::Full) => format!("{text}, and a GPU; it needs {needs}, a GPU is {wish}"),
    }
}

/// Formats a number of slots: `3`, `0.5`.
fn short(slots: f64) -> String {
    let text = format!("{slots:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
