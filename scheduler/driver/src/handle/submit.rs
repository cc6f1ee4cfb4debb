//! Acceptance of jobs, and plans of jobs that do not run.

use super::{Driver, Submission, Work, planning};
use crate::{
    command::Command,
    job::{Meta, OpenJob, memory},
    journal::{JobRecord, PARTITIONS_PER_RECORD},
};
use bytes::Bytes;
use fabric_backend::{maintenance::ROW_BYTES, registry::Precondition};
use fabric_scheduler_core::{Time, plan};
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::{JobId, TenantId},
    job::{JobSpec, StageKind, TaskId},
    rest::job::{Job, JobPlan},
    storage::StorageKind,
    task_key::Keyer,
    work::TaskInput,
};
use std::sync::Arc;

impl Driver {
    /// Accepts a job: plans it, appends it to the journal, and returns when it is durable.
    ///
    /// # Errors
    /// A caller fault for an invalid submission, or a backend's fault.
    pub async fn submit(&self, submission: Submission) -> Result<Job, Fault> {
        let planned = planning::prepare(&self.parts, &submission).await?;
        let meta = planned.meta.clone();
        // Held until the owner has charged the job itself.
        let _place = self.parts.room.take(&meta.tenant, memory::charge(&planned))?;
        let mut records = vec![JobRecord::Accepted(Box::new((*meta).clone())).encode()?];
        for chunk in planned.partitions.chunks(PARTITIONS_PER_RECORD) {
            records.push(JobRecord::Partitions(chunk.to_vec()).encode()?);
        }
        let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
        let accounts = self.parts.store.accounts();
        let room = accounts.reserve(&meta.tenant, StorageKind::Jobs, bytes).await?;
        // Register the job as active before journaling it. A crash in between leaves a key that recovery removes.
        let active = Meta::active_key(&meta.tenant, &meta.id);
        self.parts.backend.registry.put(&active, Bytes::new(), Precondition::Any).await?;
        let len = self.parts.backend.journal.append(&Meta::stream(&meta.tenant, &meta.id), 0, records).await?;
        room.keep(0);
        let mut open_job = OpenJob::new(planned);
        open_job.journal_len = len;
        let job = self.request(|reply| Command::Accept { job: Box::new(open_job), reply }).await?;
        job.ok_or_else(|| Fault::new(Code::Internal, "the owner did not accept the job"))
    }

    /// Returns the partitions and tasks that a job would have, without running it.
    ///
    /// # Errors
    /// As for [`Self::submit`].
    pub async fn plan(
        &self,
        tenant: &TenantId,
        deployment: &Arc<Deployment>,
        spec: &JobSpec,
    ) -> Result<JobPlan, Fault> {
        planning::check(deployment, spec)?;
        let submission = Submission {
            id: JobId::from_parts(0, 0),
            tenant: tenant.clone(),
            submitter: String::new(),
            deployment: deployment.clone(),
            work: Work::Map(spec.clone()),
        };
        let planned = planning::prepare(&self.parts, &submission).await?;
        let meta = &planned.meta;
        let tasks = plan::stages(&meta.plan(Time(0))).iter().map(|s| u64::from(s.tasks)).sum();
        let mut cached = 0;
        // Cache hits of functions that use a GPU are known only on the node that would run them.
        if deployment.is_pure() && !deployment.uses_gpu() && spec.cache {
            let keyer = Keyer::new(deployment, StageKind::Map, meta.buckets(), &meta.params, &meta.engine, &meta.id);
            for partitions in planned.partitions.chunks(1024) {
                let keys = partitions
                    .iter()
                    .map(|p| keyer.key(TaskId { stage: 0, index: 0 }, &TaskInput::Partition(p.clone())));
                let chunk = keys.collect::<Vec<_>>();
                tokio::task::yield_now().await;
                cached += self.parts.backend.results.get_many(tenant, &chunk).await?.iter().flatten().count() as u64;
            }
        }
        Ok(JobPlan { partitions: u64::from(meta.map_tasks), tasks, bytes_in: meta.bytes_in, cached, estimate: None })
    }
}
