//! Membership: nodes that join, change, leave or are cordoned.

use crate::{
    Action, Core, NodeSpec,
    node::{Mode, Nodes},
    task::Attempt,
};
use fabric_types::{id::NodeId, job::TaskId};

impl Core {
    pub(crate) fn node_up(&mut self, node: &NodeId, spec: &NodeSpec, actions: &mut Vec<Action>) {
        let until = self.now.plus_us(self.config.lease_us);
        let ix = self.nodes.intern(node);
        let lost = self.attempts_on(ix);
        self.mark_lost(lost, actions);
        self.nodes.change(ix, |node| {
            Nodes::set_spec(node, spec);
            Nodes::reset_measurements(node);
            node.up = true;
            node.silent = false;
            node.mode = Mode::Open;
            node.lease_until = until;
        });
        self.arm_lease(ix);
        self.unpark_all();
    }

    pub(crate) fn node_update(&mut self, node: &NodeId, spec: &NodeSpec) {
        if let Some(ix) = self.nodes.find(node) {
            self.nodes.change(ix, |node| Nodes::set_spec(node, spec));
            self.unpark_all();
        }
    }

    pub(crate) fn node_down(&mut self, node: &NodeId, actions: &mut Vec<Action>) {
        let Some(ix) = self.nodes.find(node) else { return };
        self.nodes.change(ix, |node| node.up = false);
        let lost = self.attempts_on(ix);
        self.mark_lost(lost, actions);
    }

    pub(crate) fn set_mode(&mut self, node: &NodeId, mode: Mode) {
        if let Some(ix) = self.nodes.find(node) {
            self.nodes.change(ix, |node| node.mode = mode);
            self.unpark_all();
        }
    }

    pub(crate) fn attempts_on(&self, ix: u32) -> Vec<(u32, TaskId, Attempt)> {
        let Some(node) = self.nodes.get(ix) else { return Vec::new() };
        node.attempts
            .iter()
            .filter_map(|key| {
                let running = self.jobs.get(&key.job)?.running_of(key.task())?;
                Some((key.job, key.task(), running.find(key.number, ix)?))
            })
            .collect()
    }
}
