//! Filters: whether a node may take an attempt at all.

use super::Request;
use crate::node::{Load, Mode, Node, UNITS};

/// `Ready`: up, heard of within its lease, neither cordoned nor draining.
pub(crate) fn ready(node: &Node) -> bool {
    node.is_ready()
}

/// Why [`ready`] says what it says.
pub(crate) fn ready_reason(node: &Node) -> &'static str {
    match (node.up, node.silent, node.mode) {
        (false, ..) => "the node is down",
        (_, true, _) => "the node has not been heard of for a lease",
        (.., Mode::Cordoned) => "the node is cordoned",
        (.., Mode::Draining) => "the node is draining",
        _ => "the node is up and takes work",
    }
}

/// `NotExcluded`: not the node on which the task's last attempt failed.
pub(crate) fn not_excluded(ix: u32, request: &Request<'_>) -> bool {
    request.excluded != Some(ix)
}

/// `Fits`: how many attempts at this depth the node has room for; none when not one.
///
/// There must be something free now, and the whole attempt must fit beside the long work that is there. Short work
/// ahead of it drains within [`crate::Config::queue_ahead_us`], so it may be the last to go in above the line: without
/// that, a stream of short tasks would fill every gap and keep a larger one out for ever.
/// Jobs queued deep are refilled only when an eighth of the short work's room is free, so that they go in batches.
pub(crate) fn room(node: &Node, cpu_slots: u32, memory: u64, depth: u16) -> Option<u32> {
    let free = node.free_units();
    let beside_long = node.capacity().saturating_sub(node.long_units);
    if free == 0 || u64::from(cpu_slots) * UNITS > beside_long || (depth >= 8 && free < beside_long / 8) {
        return None;
    }
    let load = Load::new(cpu_slots, memory, depth);
    let mut room = (free / load.units.max(1)).max(1);
    if memory > 0 {
        if memory > node.memory.saturating_sub(node.long_mem) || node.mem >= node.memory {
            return None;
        }
        room = room.min(((node.memory - node.mem) / load.mem.max(1)).max(1));
    }
    Some(u32::try_from(room).unwrap_or(u32::MAX))
}
