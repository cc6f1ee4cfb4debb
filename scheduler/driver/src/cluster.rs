//! Nodes and tenants: the events that the owner sends to the core, and the driver's interface for the gateway.

use crate::{
    api::Driver,
    clock::now_ms,
    meta,
    operator_settings::{self, NodeMode, NodeRecord},
    owner::JobsOwner,
};
use fabric_backend::{lane::ToNode, presence::PresenceChange};
use fabric_scheduler_core::{Event, NodeSpec, Requirement};
use fabric_types::{
    Code, Fault,
    digest::ModuleDigest,
    function::Deployment,
    gpu::GpuSupport,
    id::{NodeId, TenantId},
    job::JobSpec,
    label,
    quota::{Guarantee, Keep, Quota},
    rest::{
        node::{Explanation, Node, warm_name},
        tenant::Tenant,
    },
    units::ByteSize,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Returns the properties of a node that the core needs.
fn spec(node: &Node) -> NodeSpec {
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
    pub(crate) fn arrival(&mut self, arrival: PresenceChange) {
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
                    let presumed = before.and_then(|before| self.presumption(before));
                    self.look_at_deaths(facts.id.clone(), presumed, Some(facts));
                }
            },
            PresenceChange::Absent(node) => {
                let facts = self.nodes.remove(&node);
                if facts.as_ref().is_some_and(|facts| !facts.leaving) {
                    tracing::warn!(%node, "node lost");
                    self.metrics.nodes_lost.inc();
                }
                let presumed = facts.and_then(|facts| self.presumption(&facts));
                self.modes.remove(&node);
                self.posts.remove(&node);
                self.looks_no_more(&node);
                match presumed {
                    None => self.step([Event::NodeDown { node }]),
                    presumed => self.look_at_deaths(node, presumed, None),
                }
            }
        }
    }

    /// Adds a node that joined, and returns the events for the core.
    pub(crate) fn came(&mut self, facts: Node) -> Vec<Event> {
        let (node, spec) = (facts.id.clone(), spec(&facts));
        if let Some(revision) = self.wishes.end_drain(&node, facts.started_ms) {
            tracing::info!(%node, "drained process was replaced, node accepts work again");
            let (registry, of) = (self.parts.backend.registry.clone(), node.clone());
            self.parts.tracker.spawn(async move {
                if let Err(error) = operator_settings::forget_mode(registry.as_ref(), &of, revision).await {
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
        let mode = if leaving { NodeMode::Draining } else { self.wishes.mode(node) };
        let before = self.modes.insert(node.clone(), mode).unwrap_or_default();
        (before != mode).then(|| mode.event(node.clone()))
    }

    /// Evicts the remaining attempts from a draining node after its deadline. They run on other nodes.
    fn evict_late(&mut self, node: &NodeId) {
        let late = self.wishes.drained_by(node).is_some_and(|until_ms| until_ms <= now_ms());
        let attempts = if late { self.core.attempts_with(node) } else { 0 };
        if attempts > 0 && self.modes.get(node) == Some(&NodeMode::Draining) {
            tracing::warn!(%node, attempts, "drain deadline passed, evicting remaining attempts");
            self.step([Event::Evict { node: node.clone() }]);
        }
    }

    /// Releases a node that is leaving and has no attempts left.
    pub(crate) fn release(&mut self, node: &NodeId) {
        if self.nodes.get(node).is_some_and(|n| n.leaving) && self.core.attempts_with(node) == 0 {
            self.post(node, ToNode::Released);
        }
    }

    /// Applies an operator's setting of a node that is in the registry.
    fn wish_mode(&mut self, node: &NodeId, record: NodeRecord, revision: u64) {
        if self.wishes.set_mode(node.clone(), record, revision)
            && let Some(event) = self.mode_change(node)
        {
            self.step([event]);
        }
    }

    /// Applies a quota that is in the registry.
    fn wish_quota(&mut self, tenant: &TenantId, quota: Quota, revision: u64) {
        if self.wishes.set_quota(tenant.clone(), quota.clone(), revision) {
            self.step([Event::SetQuota { tenant: tenant.clone(), quota }]);
        }
    }

    /// Applies the deletion of a quota from the registry.
    fn forget_quota(&mut self, tenant: &TenantId) {
        self.wishes.remove_quota(tenant);
        self.step([Event::SetQuota { tenant: tenant.clone(), quota: Quota::default() }]);
    }

    /// Returns the retention periods of the tenants whose quota sets one.
    pub(crate) fn keeps(&self) -> HashMap<TenantId, Keep> {
        let own = self.wishes.quotas().filter(|(_, quota)| quota.keep != Keep::default());
        own.map(|(tenant, quota)| (tenant.clone(), quota.keep)).collect()
    }

    /// Describes guarantees that exceed the capacity of the nodes.
    fn guarantee_warnings(&self) -> Vec<String> {
        let guarantees: Vec<_> = self.wishes.quotas().map(|(_, quota)| quota.guarantee).collect();
        over_capacity(&guarantees, &self.seen_nodes())
    }

    /// Returns the nodes that hold a module in memory.
    pub(crate) fn holders(&self, module: &ModuleDigest) -> Vec<NodeId> {
        let name = warm_name(module);
        self.nodes.values().filter(|node| node.warm.contains(&name)).map(|node| node.id.clone()).collect()
    }

    /// Returns the nodes with their state in the core.
    pub(crate) fn seen_nodes(&self) -> Vec<Node> {
        let views: std::collections::HashMap<_, _> = self.core.nodes().map(|v| (v.id.clone(), v)).collect();
        let mut nodes: Vec<Node> = self.nodes.values().cloned().collect();
        for node in &mut nodes {
            let Some(view) = views.get(&node.id) else { continue };
            // Only the node counts synchronous calls.
            let idle = view.attempts == 0 && node.running == 0 && node.queued == 0;
            node.state = if view.state == "draining" && idle { "drained" } else { view.state }.to_owned();
        }
        nodes
    }
}

impl Driver {
    /// Returns the nodes.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn nodes(&self) -> Result<Vec<Node>, Fault> {
        self.ask(|owner| owner.seen_nodes()).await
    }

    /// Sets the mode of a node. An open or cordoned node stays so across restarts. A drain ends when another process
    /// joins under the node's name. Work that remains on the node `deadline` after the start of the drain is moved to
    /// other nodes.
    ///
    /// # Errors
    /// `not-found`, or the registry's fault.
    pub async fn set_node_mode(
        &self,
        node: &NodeId,
        mode: NodeMode,
        deadline: Option<Duration>,
    ) -> Result<Node, Fault> {
        let missing =
            || Fault::new(Code::NotFound, format!("there is no node {node}")).hint("list them with `fabric nodes`");
        let id = node.clone();
        let known = self.ask(move |owner| owner.nodes.get(&id).map(|facts| facts.started_ms)).await?;
        let started_ms = known.ok_or_else(missing)?;
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let until_ms = deadline.map(|deadline| now_ms().saturating_add(millis(deadline)));
        let record = NodeRecord::new(mode, started_ms, until_ms);
        let revision = operator_settings::keep_mode(self.backend(), node, &record).await?;
        let id = node.clone();
        let seen = self.ask(move |owner| {
            owner.wish_mode(&id, record, revision);
            owner.seen_nodes().into_iter().find(|node| node.id == id)
        });
        seen.await?.ok_or_else(missing)
    }

    /// Returns the quota and the usage of a tenant.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, Fault> {
        let id = tenant.clone();
        let (found, warnings) = self
            .ask(move |owner| {
                let tenant = owner.core.tenant(&id);
                let guaranteed = tenant.quota.guarantee != Guarantee::default();
                (tenant, if guaranteed { owner.guarantee_warnings() } else { Vec::new() })
            })
            .await?;
        Ok(Tenant { storage: self.parts.store.accounts().of(tenant), warnings, ..found })
    }

    /// Returns every tenant with a quota, jobs since this process became the owner, or stored data, sorted by name.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, Fault> {
        let accounts = self.parts.store.accounts();
        let keeping = accounts.tenants();
        let found = self
            .ask(move |owner| {
                let mut all: BTreeMap<TenantId, Tenant> =
                    owner.core.tenants().into_iter().map(|tenant| (tenant.tenant.clone(), tenant)).collect();
                for tenant in keeping {
                    all.entry(tenant).or_insert_with_key(|tenant| owner.core.tenant(tenant));
                }
                all.into_values().collect::<Vec<_>>()
            })
            .await?;
        Ok(found.into_iter().map(|tenant| Tenant { storage: accounts.of(&tenant.tenant), ..tenant }).collect())
    }

    /// Sets a tenant's quota. It takes effect at once.
    ///
    /// # Errors
    /// `bad-request` for a contradictory quota, or the registry's fault.
    pub async fn set_quota(&self, tenant: &TenantId, quota: Quota) -> Result<Tenant, Fault> {
        quota.check().map_err(|problem| Fault::new(Code::BadRequest, problem))?;
        let revision = operator_settings::keep_quota(self.backend(), tenant, &quota).await?;
        let (id, storage) = (tenant.clone(), quota.limit.storage_bytes);
        self.ask(move |owner| owner.wish_quota(&id, quota, revision)).await?;
        // Other processes are notified by their watch on the registry.
        self.parts.store.accounts().set_quota(tenant, storage.map(|bytes| bytes.0));
        self.tenant(tenant).await
    }

    /// Deletes a tenant's quota. The server's defaults take effect at once.
    ///
    /// # Errors
    /// The registry's fault.
    pub async fn delete_quota(&self, tenant: &TenantId) -> Result<(), Fault> {
        operator_settings::delete_quota(self.backend(), tenant).await?;
        let id = tenant.clone();
        self.ask(move |owner| owner.forget_quota(&id)).await?;
        self.parts.store.accounts().set_quota(tenant, None);
        // A quota that was set concurrently stays: a deletion has no revision that would order the two.
        if let Some((quota, revision)) = operator_settings::kept_quota(self.backend(), tenant).await? {
            let (id, storage) = (tenant.clone(), quota.limit.storage_bytes);
            self.ask(move |owner| owner.wish_quota(&id, quota, revision)).await?;
            self.parts.store.accounts().set_quota(tenant, storage.map(|bytes| bytes.0));
        }
        Ok(())
    }

    /// Explains the placement of an attempt of this function now. With `plan`, includes the plan of the job.
    ///
    /// # Errors
    /// A caller fault for an invalid specification; `unavailable` while shutting down.
    pub async fn explain(
        &self,
        deployment: &Arc<Deployment>,
        spec: &JobSpec,
        plan: bool,
    ) -> Result<Explanation, Fault> {
        label::check_all(&spec.node_selector).map_err(|problem| Fault::new(Code::BadRequest, problem))?;
        let labels = meta::node_selector(deployment, &spec.node_selector)?;
        let job = if plan { Some(self.plan(&deployment.tenant, deployment, spec).await?) } else { None };
        let resources = &deployment.manifest.resources;
        let requirement = Requirement {
            tenant: deployment.tenant.clone(),
            cpu_slots: resources.cpu_slots,
            memory_bytes: meta::memory_bytes(deployment),
            gpus: resources.gpus,
            gpu: resources.gpu,
            kind: deployment.entry.kind,
            labels,
            hints: Vec::new(),
            excluded: None,
        };
        let module = deployment.module;
        let explain = move |owner: &mut JobsOwner| {
            let hints = owner.holders(&module);
            owner.core.explain(&Requirement { hints, ..requirement })
        };
        let explanation = self.ask(explain).await?;
        Ok(Explanation { job, ..explanation })
    }
}

/// Describes guarantees that exceed the capacity of the nodes that are not lost.
fn over_capacity(guarantees: &[Guarantee], nodes: &[Node]) -> Vec<String> {
    let there = || nodes.iter().filter(|node| node.state != "lost");
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
