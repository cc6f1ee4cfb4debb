//! The part of a job that is fixed when it is accepted.

use fabric_scheduler_core::{SchedulableJob, Time};
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

/// The kind of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// A map over a data set.
    Map,
    /// An asynchronous invocation, which has one task.
    Invoke {
        /// Request body, committed as a result of its own.
        body: OutputRef,
        /// Media type of the body.
        content_type: Option<String>,
    },
    /// A repetition of some map tasks of another job, to compare the results.
    Audit {
        /// The other job.
        of: JobId,
    },
}

/// The fixed part of a job. It is the first record of the job's journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    /// Job id.
    pub id: JobId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Submitter, for display.
    pub submitter: String,
    /// Version to run.
    pub deployment: Arc<Deployment>,
    /// Kind of the job.
    pub kind: JobKind,
    /// Submitted specification, with at most 100 items and with long parameters shortened. For an invocation, an
    /// equivalent specification.
    pub spec: JobSpec,
    /// Parameters in canonical JSON.
    pub params: Arc<str>,
    /// Engine fingerprint in the task keys.
    pub engine: String,
    /// Time of acceptance, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Number of map tasks.
    pub map_tasks: u32,
    /// Input bytes of all map tasks.
    pub bytes_in: u64,
}

/// A planned job: its fixed part and its inputs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Fixed part.
    pub meta: Arc<Meta>,
    /// Input of each map task; empty for an invocation.
    pub partitions: Arc<[Partition]>,
}

/// Returns the memory that placement counts for an attempt. A function that declares none is placed with 1 MiB, because
/// most functions never come near their limit.
#[must_use]
pub fn memory_bytes(deployment: &Deployment) -> u64 {
    let asked = deployment.manifest.resources.memory_bytes.0;
    if asked > 0 { asked } else { 1 << 20 }
}

/// Returns the labels that the function requires, together with those that a job adds.
///
/// # Errors
/// `bad-request` if both have a label with different values, which no node can satisfy.
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
    /// Returns the journal stream of a job.
    #[must_use]
    pub fn stream(tenant: &TenantId, job: &JobId) -> String {
        format!("t/{tenant}/jobs/{job}")
    }

    /// Returns the registry key that exists until the job has ended.
    #[must_use]
    pub fn active_key(tenant: &TenantId, job: &JobId) -> String {
        format!("sys/active/{tenant}/{job}")
    }

    /// Returns the job's parameters for the core.
    #[must_use]
    pub fn plan(&self, accepted_at: Time) -> SchedulableJob {
        let (spec, resources) = (&self.spec, &self.deployment.manifest.resources);
        SchedulableJob {
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
            ..SchedulableJob::new(self.id.clone(), self.tenant.clone(), self.map_tasks)
        }
    }

    /// Returns the number of buckets into which map tasks divide their records.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.spec.shuffle.map_or(0, |s| s.partitions)
    }

    /// Reports whether results of earlier runs may be served. Never for an audit, which must run tasks again.
    #[must_use]
    pub fn cache(&self) -> bool {
        self.spec.cache && !matches!(self.kind, JobKind::Audit { .. })
    }
}
