//! Jobs, their tasks and results.

use crate::{Client, Download, PageOptions, Result};
use fabric_api::{
    job::{
        AuditParams, AuditReport, DeadLetterQuery, DeleteParams, JobQuery, JobsDeleted, RetryRequest, SubmitParams,
        TaskQuery,
    },
    result::{ResultInfo, ResultParams},
};
use fabric_types::{
    function::FunctionRef,
    id::JobId,
    job::JobSpec,
    rest::{
        Page,
        job::{DeadLetter, Job, JobPlan, Task},
    },
};
use reqwest::Method;
use std::time::Duration;

/// Timeout of a submission, for which the server may list a large prefix.
pub(crate) const SUBMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// Timeout of an audit, which runs tasks again.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(1800);

/// The way in which jobs are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionMode {
    /// Moves them into the bin, from which they can be restored.
    Bin,
    /// Removes them permanently, with their journals.
    Permanent,
}

impl DeletionMode {
    fn params(self) -> DeleteParams {
        DeleteParams { now: self == Self::Permanent }
    }
}

impl Client {
    /// Submits a job. A repeat with the same `key` returns the job of the first request. Without a key, a new one is
    /// generated.
    ///
    /// # Errors
    /// `not-found` for the function, `invalid-params`, `invalid-input-spec`, `budget-exhausted`, and the errors common
    /// to all requests.
    pub async fn submit(&self, spec: &JobSpec, key: Option<&str>) -> Result<Job> {
        self.request(Method::POST, &["jobs"])?.json(spec)?.idempotent(key)?.timeout(Some(SUBMIT_TIMEOUT)).read().await
    }

    /// Computes the size of a job without running it.
    ///
    /// # Errors
    /// As for [`Client::submit`].
    pub async fn plan(&self, spec: &JobSpec) -> Result<JobPlan> {
        self.request(Method::POST, &["jobs"])?
            .query(&SubmitParams { dry_run: Some(true) })?
            .json(spec)?
            .idempotent(None)?
            .timeout(Some(SUBMIT_TIMEOUT))
            .read()
            .await
    }

    /// Resubmits an ended job as a new job. The new job runs the same version unless `function` is set, with the
    /// same budget unless `budget_fuel` is set. If the function is pure and the version is the same, results of
    /// successful tasks come from the cache.
    ///
    /// # Errors
    /// `not-found`, `conflict` for a job that has not ended, and those of [`Client::submit`].
    pub async fn retry_job(&self, id: &str, function: Option<&FunctionRef>, budget_fuel: Option<u64>) -> Result<Job> {
        let body = RetryRequest { function: function.cloned(), budget_fuel };
        let request = self.request(Method::POST, &["jobs", id, "retry"])?.json(&body)?;
        request.idempotent(None)?.timeout(Some(SUBMIT_TIMEOUT)).read().await
    }

    /// Lists jobs, newest first.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn jobs(&self, filter: &JobQuery) -> Result<Page<Job>> {
        self.request(Method::GET, &["jobs"])?.query(filter)?.read().await
    }

    /// Deletes one page of the ended jobs that match the filter. The response's `next` is the cursor of the next page.
    ///
    /// # Errors
    /// `bad-request` for an empty filter, and the errors common to all requests.
    pub async fn delete_jobs(&self, filter: &JobQuery, mode: DeletionMode) -> Result<JobsDeleted> {
        self.request(Method::DELETE, &["jobs"])?.query(filter)?.query(&mode.params())?.read().await
    }

    /// Returns a job. With `wait`, the server responds when the job ends or the time (at most 60 s) has passed.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn job(&self, id: &str, wait: Option<Duration>) -> Result<Job> {
        let request = self.request(Method::GET, &["jobs", id])?;
        self.with_wait(request, wait)?.read().await
    }

    /// Waits until a job ends.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn wait_job(&self, id: &str) -> Result<Job> {
        loop {
            let job = self.job(id, Some(LONG_POLL)).await?;
            if job.state.is_terminal() {
                return Ok(job);
            }
        }
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// `not-found`, `conflict` if it has ended, and the errors common to all requests.
    pub async fn cancel_job(&self, id: &str) -> Result<Job> {
        self.request(Method::POST, &["jobs", id, "cancel"])?.idempotent(None)?.read().await
    }

    /// Moves an ended job into the bin.
    ///
    /// # Errors
    /// `not-found`, `conflict` if it has not ended, and the errors common to all requests.
    pub async fn delete_job(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["jobs", id])?.send_and_discard().await
    }

    /// Deletes an ended job permanently, with its journal.
    ///
    /// # Errors
    /// As for [`Self::delete_job`].
    pub async fn purge_job(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["jobs", id])?.query(&DeletionMode::Permanent.params())?.send_and_discard().await
    }

    /// Takes a job out of the bin.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn restore_job(&self, id: &str) -> Result<Job> {
        self.request(Method::POST, &["jobs", id, "restore"])?.idempotent(None)?.read().await
    }

    /// Runs a sample of a job's map tasks again and compares the results. `sample` is a percentage above 0, at
    /// most 100.
    ///
    /// # Errors
    /// `not-found`, `conflict`, and the errors common to all requests.
    pub async fn audit_job(&self, id: &str, sample: f64) -> Result<AuditReport> {
        self.request(Method::POST, &["jobs", id, "audit"])?
            .query(&AuditParams { sample: Some(sample) })?
            .idempotent(None)?
            .timeout(Some(AUDIT_TIMEOUT))
            .read()
            .await
    }

    /// Lists the tasks of a job, by stage and index.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn tasks(&self, id: &str, filter: &TaskQuery) -> Result<Page<Task>> {
        self.request(Method::GET, &["jobs", id, "tasks"])?.query(filter)?.read().await
    }

    /// Lists the tasks that were given up, of one job or of all.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn dead_letters(&self, job: Option<&JobId>, paging: &PageOptions) -> Result<Page<DeadLetter>> {
        let query = DeadLetterQuery { job: job.cloned(), ..DeadLetterQuery::default() }.page(paging.clone());
        self.request(Method::GET, &["dead-letters"])?.query(&query)?.read().await
    }

    /// Lists the results of a job.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn results(&self, id: &str, paging: &PageOptions) -> Result<Page<ResultInfo>> {
        self.request(Method::GET, &["jobs", id, "results"])?.query(paging)?.read().await
    }

    /// Downloads all results of a job, concatenated.
    ///
    /// # Errors
    /// `not-found` until the results are available, the fault of a failed job, and the errors common to all requests.
    pub async fn result(&self, id: &str) -> Result<Download> {
        self.request(Method::GET, &["jobs", id, "result"])?.download().await
    }

    /// Downloads one result of a job, by its index from 0.
    ///
    /// # Errors
    /// As for [`Client::result`].
    pub async fn result_part(&self, id: &str, index: u64) -> Result<Download> {
        self.request(Method::GET, &["jobs", id, "result", &index.to_string()])?.download().await
    }

    /// Downloads lines of a job's result.
    ///
    /// # Errors
    /// As for [`Client::result`].
    pub async fn result_lines(&self, id: &str, lines: &ResultParams) -> Result<Download> {
        self.request(Method::GET, &["jobs", id, "result"])?.query(lines)?.download().await
    }
}

const LONG_POLL: Duration = Duration::from_secs(55);
