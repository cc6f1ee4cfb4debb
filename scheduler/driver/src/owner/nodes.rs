//! Nodes that join, change, drain and leave.

use super::JobsOwner;
use crate::{
    clock::now_ms,
    settings::{self, NodeMode, NodeRecord},
};
use fabric_backend::{lane::ToNode, presence::PresenceChange};
use fabric_scheduler_core::{Event, NodeSpec};
use fabric_types::{
    digest::ModuleDigest,
    gpu::GpuSupport,
    id::NodeId,
    node::{NodeFacts, warm_name},
    rest::node::Node,
};

/// Returns the properties of a node that the core needs.
fn spec(node: &NodeFacts) -> NodeSpec {
    #[allow(clippy::cast_possible_truncation)]
    let speed = node.speed as f32;
    NodeSpec {
        speed,
        gpus: node.gpus,
        gpu: node.gpu.as_ref().map_or(GpuSupport::None, |gpu| gpu.serves),
        labels: node.labels.clone(),
        accepts: node.accepts.clone(),
        ..NodeSpec::new(node.cpu_slots, node.memory_bytes)
    }
}

impl JobsOwner {
    /// Handles a node that joined, changed or left.
    pub(super) fn arrival(&mut self, arrival: PresenceChange) {
        match arrival {
            PresenceChange::Present(facts) => match self.nodes.get(&facts.id) {
                Some(before) if before.started_ms == facts.started_ms => {
                    let (node, spec) = (facts.id.clone(), spec(&facts));
                    let changed = self::spec(before) != spec;
                    self.nodes.insert(node.clone(), facts);
                    let update = changed.then(|| Event::NodeUpdate { node: node.clone(), spec });
                    let events: Vec<_> = update.into_iter().chain(self.mode_change(&node)).collect();
                    if !events.is_empty() {
                        self.step(events);
                    }
                    self.evict_late(&node);
                    self.release(&node);
                }
                // A process that replaces another. The deaths of the replaced process come first.
                before => {
                    let presumed = before.and_then(|before| self.presumed_death(before));
                    self.load_deaths(facts.id.clone(), presumed, Some(facts));
                }
            },
            PresenceChange::Absent(node) => {
                let facts = self.nodes.remove(&node);
                if facts.as_ref().is_some_and(|facts| !facts.leaving) {
                    tracing::warn!(%node, "node lost");
                    self.metrics.nodes_lost.inc();
                }
                let presumed = facts.and_then(|facts| self.presumed_death(&facts));
                self.modes.remove(&node);
                self.node_senders.remove(&node);
                self.cancel_join(&node);
                match presumed {
                    None => self.step([Event::NodeDown { node }]),
                    presumed => self.load_deaths(node, presumed, None),
                }
            }
        }
    }

    /// Adds a node that joined, and returns the events for the core.
    pub(super) fn node_joined(&mut self, facts: NodeFacts) -> Vec<Event> {
        let (node, spec) = (facts.id.clone(), spec(&facts));
        if let Some(revision) = self.settings.end_drain(&node, facts.started_ms) {
            tracing::info!(%node, "drained process was replaced, node accepts work again");
            let (registry, of) = (self.parts.backend.registry.clone(), node.clone());
            self.parts.tracker.spawn(async move {
                if let Err(error) = settings::forget_mode(registry.as_ref(), &of, revision).await {
                    // The next owner, or the next start of the node, finds the entry again.
                    tracing::warn!(node = %of, %error, "removing an ended drain from the registry failed");
                }
            });
        }
        // A node that joins is open in the core, unless an event in the same step changes that.
        self.modes.remove(&node);
        self.nodes.insert(node.clone(), facts);
        let up = Event::NodeUp { node: node.clone(), spec };
        [up].into_iter().chain(self.mode_change(&node)).collect()
    }

    /// Returns the event for the core if the node's mode has changed.
    fn mode_change(&mut self, node: &NodeId) -> Option<Event> {
        let leaving = self.nodes.get(node)?.leaving;
        let mode = if leaving { NodeMode::Draining } else { self.settings.mode(node) };
        let before = self.modes.insert(node.clone(), mode).unwrap_or_default();
        (before != mode).then(|| mode.event(node.clone()))
    }

    /// Evicts the remaining attempts from a draining node after its deadline. They run on other nodes.
    fn evict_late(&mut self, node: &NodeId) {
        let late = self.settings.drained_by(node).is_some_and(|until_ms| until_ms <= now_ms());
        let attempts = if late { self.core.attempts_with(node) } else { 0 };
        if attempts > 0 && self.modes.get(node) == Some(&NodeMode::Draining) {
            tracing::warn!(%node, attempts, "drain deadline passed, evicting remaining attempts");
            self.step([Event::Evict { node: node.clone() }]);
        }
    }

    /// Releases a node that is leaving and has no attempts left.
    pub(super) fn release(&mut self, node: &NodeId) {
        if self.nodes.get(node).is_some_and(|n| n.leaving) && self.core.attempts_with(node) == 0 {
            self.send_to_node(node, ToNode::Released);
        }
    }

    /// Applies an operator's setting of a node that is in the registry.
    pub(super) fn apply_mode(&mut self, node: &NodeId, record: NodeRecord, revision: u64) {
        if self.settings.set_mode(node.clone(), record, revision)
            && let Some(event) = self.mode_change(node)
        {
            self.step([event]);
        }
    }

    /// Returns the nodes that hold a module in memory.
    pub(super) fn holders(&self, module: &ModuleDigest) -> Vec<NodeId> {
        let name = warm_name(module);
        self.nodes.values().filter(|node| node.warm.contains(&name)).map(|node| node.id.clone()).collect()
    }

    /// Returns the nodes with their state in the core.
    pub(super) fn seen_nodes(&self) -> Vec<Node> {
        let views: std::collections::HashMap<_, _> = self.core.nodes().map(|v| (v.id.clone(), v)).collect();
        let state = |facts: &NodeFacts| {
            let Some(view) = views.get(&facts.id) else { return "ready" };
            // Only the node counts synchronous calls.
            let idle = view.attempts == 0 && facts.running == 0 && facts.queued == 0;
            if view.state == "draining" && idle { "drained" } else { view.state }
        };
        self.nodes.values().map(|facts| Node { state: state(facts).to_owned(), facts: facts.clone() }).collect()
    }
}
