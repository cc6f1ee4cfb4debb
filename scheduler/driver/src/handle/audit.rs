//! Audits: a sample of a job's tasks runs again, and the results are compared.

use super::{Driver, Submission, Work, not_found};
use crate::{command::JobRead, job::JobKind};
use fabric_types::{
    Code, EngineClass, Fault,
    dataset::Partition,
    id::{JobId, TenantId},
    job::{JobSpec, JobState},
    rest::job::Task,
};
use std::{sync::Arc, time::Duration};

impl Driver {
    /// Runs a sample of `percent` of the map tasks again without the cache, and compares the results. Returns the
    /// number of tasks checked, and the tasks with a different result.
    ///
    /// # Errors
    /// `conflict` if the job has not succeeded, its function is not pure or uses a GPU, or the engine has changed; the
    /// sample's own failure.
    pub async fn audit(
        &self,
        tenant: &TenantId,
        job: &JobId,
        percent: f64,
        sample_id: JobId,
        submitter: &str,
    ) -> Result<(u64, Vec<Task>), Fault> {
        let (planned, state) = self.read_job(tenant, job, JobRead::Planned).await?.ok_or_else(|| not_found(job))?;
        let meta = planned.meta;
        if state != JobState::Succeeded || !matches!(meta.kind, JobKind::Map) {
            return Err(Fault::new(
                Code::Conflict,
                format!("job {job} is {state}; only jobs that succeeded can be audited"),
            ));
        }
        if !meta.deployment.is_pure() {
            return Err(Fault::new(Code::Conflict, format!("function {} is not pure", meta.deployment.function))
                .hint("only results that depend on module, input and parameters alone can be audited"));
        }
        if meta.deployment.uses_gpu() {
            let message =
                format!("function {} uses a GPU, and results may differ between nodes", meta.deployment.function);
            return Err(Fault::new(Code::Conflict, message)
                .hint("only functions with bit-identical results on every node can be audited"));
        }
        if (self.parts.fingerprint)(EngineClass::Deterministic) != meta.engine {
            return Err(Fault::new(Code::Conflict, "the sandbox engine has changed since the job ran"));
        }
        let total = planned.partitions.len();
        let wanted = ((total as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as usize)
            .clamp(usize::from(total > 0), total.max(1));
        // Spread over the job, shifted by the audit's id, so that different audits check different tasks.
        let shift = usize::from(blake3::hash(sample_id.as_str().as_bytes()).as_bytes().first().copied().unwrap_or(0));
        let picked: Vec<usize> = (0..wanted.min(total)).map(|i| (i * total / wanted + shift) % total).collect();
        let partitions: Arc<[Partition]> = picked.iter().filter_map(|i| planned.partitions.get(*i).cloned()).collect();
        // The specification may have shortened parameters, so take the full ones.
        let params = serde_json::from_str(&meta.params)
            .map_err(|e| Fault::new(Code::Internal, format!("the job's parameters are damaged: {e}")))?;
        let spec = JobSpec { params, reduce: None, output: None, name: None, allow_failed: 0, ..meta.spec.clone() };
        let submission = Submission {
            id: sample_id.clone(),
            tenant: tenant.clone(),
            submitter: submitter.to_owned(),
            deployment: meta.deployment.clone(),
            work: Work::Audit { of: job.clone(), spec: Box::new(spec), partitions },
        };
        self.submit(submission).await?;
        let ended = loop {
            let seen =
                self.wait(tenant, &sample_id, Duration::from_secs(60)).await?.ok_or_else(|| not_found(&sample_id))?;
            if seen.state.is_terminal() {
                break seen;
            }
        };
        if let Some(fault) = ended.error {
            return Err(fault);
        }
        let differing = self.read_job(tenant, &sample_id, JobRead::DifferingTasks).await?.unwrap_or_default();
        let differing = differing.into_iter().filter_map(|task| {
            let index = u32::try_from(*picked.get(task.index as usize)?).ok()?;
            Some(Task { index, ..task })
        });
        Ok((ended.tasks.succeeded, differing.collect()))
    }
}
