//! What is fixed about a job from the moment it is accepted.

use fabric_scheduler_core::{JobPlan, Time};
use fabric_types::{
    Code, Fault,
    dataset::Partition,
    function::Deployment,
    id::{JobId, TenantId},
    job::JobSpec,
    label::Labels,
    work::OutputRef,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a job is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A map over a data set.
    Map,
    /// An asynchronous invocation: one task.
    Invoke {
        /// The request body, committed as a result of its own.
        body: OutputRef,
        /// Its media type.
        content_type: Option<String>,
    },
    /// A repetition of some map tasks of another job, to compare results.
    Audit {
        /// The other job.
        of: JobId,
    },
}

/// The fixed part of a job. It is the first record of the job's journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who asked.
    pub submitter: String,
    /// The version that runs.
    pub deployment: Arc<Deployment>,
    /// What it is for.
    pub kind: Kind,
    /// What was submitted, long items and parameters cut; for an invocation, the nearest spec.
    pub spec: JobSpec,
    /// Parameters in canonical JSON.
    pub params: Arc<str>,
    /// The fingerprint of the engine that keys are made for.
    pub engine: String,
    /// When it was accepted, milliseconds since 1970.
    pub created_ms: u64,
    /// Map tasks.
    pub map_tasks: u32,
    /// Input bytes of all map tasks.
    pub bytes_in: u64,
}

/// A job with its inputs: what recovery gives back.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The fixed part.
    pub meta: Arc<Meta>,
    /// The input of each map task; empty for an invocation.
    pub partitions: Arc<[Partition]>,
}

/// Memory that placement counts for an attempt. Without a figure of its own, a function is placed by a small share: most
/// never come near their limit.
#[must_use]
pub fn memory_bytes(deployment: &Deployment) -> u64 {
    let asked = deployment.manifest.resources.memory_bytes.0;
    if asked > 0 { asked } else { 1 << 20 }
}

/// The labels that the function needs and those that a job adds.
///
/// # Errors
/// `bad-request` when both name a label and mean different values, which no node can have.
pub fn node_selector(deployment: &Deployment, more: &Labels) -> Result<Labels, Fault> {
    let mut labels = deployment.manifest.resources.node_selector.clone();
    for (key, value) in more {
        let before = labels.insert(key.clone(), value.clone());
        if let Some(before) = before.filter(|before| before != value) {
            let message = format!(
                "the job asks for label {key}={value}, and function {} for {key}={before}",
                deployment.function
            );
            return Err(Fault::new(Code::BadRequest, message).hint("no node has both: leave one of them out"));
        }
    }
    Ok(labels)
}

impl Meta {
    /// The journal stream of a job.
    #[must_use]
    pub fn stream(tenant: &TenantId, job: &JobId) -> String {
        format!("t/{tenant}/jobs/{job}")
    }

    /// The registry key that is there as long as the job has not ended.
    #[must_use]
    pub fn active_key(tenant: &TenantId, job: &JobId) -> String {
        format!("sys/active/{tenant}/{job}")
    }

    /// What the core needs to know.
    #[must_use]
    pub fn plan(&self, accepted_at: Time) -> JobPlan {
        let (spec, resources) = (&self.spec, &self.deployment.manifest.resources);
        JobPlan {
            shuffle: spec.shuffle.map(|s| s.partitions),
            reduce_fan_in: spec.reduce.map(|r| r.fan_in),
            concurrency: spec.concurrency,
            max_attempts: spec.max_attempts,
            allow_failed: spec.allow_failed,
            priority: spec.priority,
            budget_fuel: spec.budget_fuel,
            cpu_slots: resources.cpu_slots,
            memory_bytes: memory_bytes(&self.deployment),
            gpus: resources.gpus,
            gpu: resources.gpu,
            kind: self.deployment.entry.kind,
            // Checked when the job was accepted.
            labels: node_selector(&self.deployment, &spec.node_selector).unwrap_or_default(),
            accepted_at,
            ..JobPlan::new(self.id.clone(), self.tenant.clone(), self.map_tasks)
        }
    }

    /// Buckets that map tasks divide their records into.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.spec.shuffle.map_or(0, |s| s.partitions)
    }

    /// Whether results of earlier runs may be served. An audit never does: its point is to run again.
    #[must_use]
    pub fn cache(&self) -> bool {
        self.spec.cache && !matches!(self.kind, Kind::Audit { .. })
    }
}
