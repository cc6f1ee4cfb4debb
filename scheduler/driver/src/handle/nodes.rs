//! Nodes: list, mode, and the placement of an attempt.

use super::Driver;
use crate::{
    clock::now_ms,
    command::Command,
    job,
    settings::{self, NodeMode, NodeRecord},
};
use fabric_scheduler_core::Requirement;
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::NodeId,
    job::JobSpec,
    label,
    rest::node::{Explanation, Node},
};
use std::{sync::Arc, time::Duration};

impl Driver {
    /// Returns the nodes.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub async fn nodes(&self) -> Result<Vec<Node>, Fault> {
        self.request(|reply| Command::ListNodes { reply }).await
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
        let known = self.request(|reply| Command::NodeStart { node: id, reply }).await?;
        let started_ms = known.ok_or_else(missing)?;
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let until_ms = deadline.map(|deadline| now_ms().saturating_add(millis(deadline)));
        let record = NodeRecord::new(mode, started_ms, until_ms);
        let revision = settings::keep_mode(self.backend(), node, &record).await?;
        let id = node.clone();
        let seen = self.request(|reply| Command::ApplyNodeMode { node: id, record, revision, reply });
        seen.await?.ok_or_else(missing)
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
        let labels = job::node_selector(deployment, &spec.node_selector)?;
        let planned = if plan { Some(self.plan(&deployment.tenant, deployment, spec).await?) } else { None };
        let resources = &deployment.manifest.resources;
        let requirement = Requirement {
            tenant: deployment.tenant.clone(),
            cpu_slots: resources.cpu_slots,
            memory_bytes: job::memory_bytes(deployment),
            gpus: resources.gpus,
            gpu: resources.gpu,
            kind: deployment.entry.kind,
            labels,
            hints: Vec::new(),
            excluded: None,
        };
        let module = deployment.module;
        let requirement = Box::new(requirement);
        let explanation = self.request(|reply| Command::Explain { module, requirement, reply }).await?;
        Ok(Explanation { job: planned, ..explanation })
    }
}
