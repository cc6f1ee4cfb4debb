//! Tasks and results of a job.

use super::{Driver, not_found};
use crate::{
    command::{JobRead, TaskOutput},
    job::TaskFilter,
};
use fabric_types::{
    Code, Fault,
    id::{JobId, TenantId},
    job::{JobState, TaskId},
    rest::{Page, job::Task},
    work::OutputRef,
};

impl Driver {
    /// Returns the result of a task, in any state of the job.
    ///
    /// # Errors
    /// `not-found` if there is no such job or task, or the task has no result; or a backend's fault.
    pub async fn output(&self, tenant: &TenantId, job: &JobId, task: TaskId) -> Result<OutputRef, Fault> {
        let found = self.read_job(tenant, job, |reply| JobRead::Output { task, reply });
        match found.await?.ok_or_else(|| not_found(job))? {
            TaskOutput::Committed(output) => Ok(output),
            TaskOutput::NoResult => Err(Fault::new(Code::NotFound, format!("task {task} of job {job} has no result"))
                .hint(format!("list those that have: GET /v1/jobs/{job}/tasks?state=succeeded"))),
            TaskOutput::NoTask => Err(Fault::new(Code::NotFound, format!("job {job} has no task {task}"))),
        }
    }

    /// Lists tasks in order of stage and index.
    ///
    /// # Errors
    /// `not-found`, `bad-request` for a cursor of another list, or a backend's fault.
    pub async fn tasks(
        &self,
        tenant: &TenantId,
        job: &JobId,
        filter: TaskFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Task>, Fault> {
        let cursor = cursor.map(str::to_owned);
        let page = self.read_job(tenant, job, |reply| JobRead::Tasks { filter, cursor, limit, reply });
        page.await?.ok_or_else(|| not_found(job))?
    }

    /// Returns the results of a job that succeeded, in order.
    ///
    /// # Errors
    /// `not-found`; `conflict` while it runs; `cancelled` if it was cancelled; the job's own fault if it failed.
    pub async fn outputs(&self, tenant: &TenantId, job: &JobId) -> Result<Vec<OutputRef>, Fault> {
        let found = self.read_job(tenant, job, JobRead::Outputs);
        match found.await?.ok_or_else(|| not_found(job))? {
            (JobState::Succeeded, _, outputs) => Ok(outputs),
            (JobState::Failed, Some(fault), _) => Err(fault),
            (JobState::Cancelled, ..) => {
                Err(Fault::new(Code::Cancelled, format!("job {job} was cancelled and has no result")))
            }
            (state, ..) => Err(Fault::new(Code::Conflict, format!("job {job} is {state} and has no result yet"))
                .hint(format!("wait for it: fabric jobs watch {job}"))),
        }
    }
}
