//! Quotas of tenants in the core, and their retention periods.

use super::JobsOwner;
use fabric_scheduler_core::Event;
use fabric_types::{
    id::TenantId,
    quota::{Guarantee, Keep, Quota},
    rest::node::Node,
    units::ByteSize,
};
use std::collections::HashMap;

impl JobsOwner {
    /// Applies a quota that is in the registry.
    pub(super) fn apply_quota(&mut self, tenant: &TenantId, quota: Quota, revision: u64) {
        if self.settings.set_quota(tenant.clone(), quota.clone(), revision) {
            self.step([Event::SetQuota { tenant: tenant.clone(), quota }]);
        }
    }

    /// Applies the deletion of a quota from the registry.
    pub(super) fn remove_quota(&mut self, tenant: &TenantId) {
        self.settings.remove_quota(tenant);
        self.step([Event::SetQuota { tenant: tenant.clone(), quota: Quota::default() }]);
    }

    /// Returns the retention periods of the tenants whose quota sets one.
    pub(super) fn retention_overrides(&self) -> HashMap<TenantId, Keep> {
        let own = self.settings.quotas().filter(|(_, quota)| quota.keep != Keep::default());
        own.map(|(tenant, quota)| (tenant.clone(), quota.keep)).collect()
    }

    /// Describes guarantees that exceed the capacity of the nodes.
    pub(super) fn guarantee_warnings(&self) -> Vec<String> {
        let guarantees: Vec<_> = self.settings.quotas().map(|(_, quota)| quota.guarantee).collect();
        over_capacity(&guarantees, &self.seen_nodes())
    }
}

/// Describes guarantees that exceed the capacity of the nodes that are not lost.
fn over_capacity(guarantees: &[Guarantee], nodes: &[Node]) -> Vec<String> {
    let there = || nodes.iter().filter(|node| node.state != "lost").map(|node| &node.facts);
    let mut warnings = Vec::new();
    let mut compare = |what: &str, sure: u64, has: u64, show: fn(u64) -> String| {
        if sure > has {
            let (sure, has) = (show(sure), show(has));
            warnings.push(format!(
                "all tenants together are guaranteed {sure} of {what}, and the nodes have {has}: not every guarantee can be kept"
            ));
        }
    };
    let number: fn(u64) -> String = |n| n.to_string();
    let sum = |of: fn(&Guarantee) -> u64| guarantees.iter().map(of).fold(0, u64::saturating_add);
    compare("CPU slots", sum(|g| g.cpu_slots.into()), there().map(|n| u64::from(n.cpu_slots)).sum(), number);
    let memory = there().map(|n| n.memory_bytes).fold(0, u64::saturating_add);
    compare("memory", sum(|g| g.memory_bytes.0), memory, |bytes| ByteSize(bytes).to_string());
    compare("GPUs", sum(|g| g.gpus.into()), there().map(|n| u64::from(n.gpus)).sum(), number);
    warnings
}
