//! Jobs, their tasks and results.

use crate::{Client, Download, PageOptions, Result, functions::push};
use fabric_types::{
    function::FunctionRef,
    job::JobSpec,
    rest::{
        Page,
        job::{DeadLetter, Job, JobPlan, JobsDeleted, Task},
    },
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Timeout of a submission, for which the server may list a large prefix.
pub(crate) const SUBMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// Timeout of an audit, which runs tasks again.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(1800);

/// A filter for jobs.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Accepted states; empty for all.
    pub states: Vec<String>,
    /// Name of the function.
    pub function: Option<String>,
    /// Part of the job's name.
    pub name: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// Prefix of the id.
    pub id: Option<String>,
    /// Earliest time of acceptance.
    pub since_ms: Option<u64>,
    /// Latest time of acceptance.
    pub until_ms: Option<u64>,
    /// Words in any text of the job.
    pub q: Option<String>,
    /// Select jobs in the bin instead of the others.
    pub deleted: bool,
    /// Page of the list.
    pub paging: PageOptions,
}

/// A filter for the tasks of a job.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// State of the task.
    pub state: Option<String>,
    /// Stage of the task.
    pub stage: Option<u16>,
    /// Page of the list.
    pub paging: PageOptions,
}

/// One result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// Index, from 0.
    pub index: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the bytes, in hexadecimal.
    pub digest: String,
    /// Task key under which it is stored.
    #[serde(default)]
    pub key: Option<String>,
    /// Media type.
    #[serde(default)]
    pub content_type: Option<String>,
}

/// A range of lines of a job's result.
#[derive(Debug, Clone, Default)]
pub struct ResultLines {
    /// Index of the first line, from 0.
    pub from: Option<u64>,
    /// Maximum number of lines.
    pub count: Option<u64>,
    /// Select only lines that contain this text.
    pub containing: Option<String>,
}

/// The report of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Number of tasks that ran again.
    pub checked: u64,
    /// Number of those with identical bytes.
    pub same: u64,
    /// Tasks with different bytes.
    #[serde(default)]
    pub differing: Vec<Difference>,
}

/// A task with different bytes in its second run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Stage of the task.
    pub stage: u16,
    /// Index within the stage.
    pub index: u32,
    /// Other fields of the server's response.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl JobQuery {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        push(&mut query, "state", (!self.states.is_empty()).then(|| self.states.join(",")));
        push(&mut query, "function", self.function.as_ref());
        push(&mut query, "name", self.name.as_ref());
        push(&mut query, "tag", self.tag.as_ref());
        push(&mut query, "id", self.id.as_ref());
        push(&mut query, "since_ms", self.since_ms);
        push(&mut query, "until_ms", self.until_ms);
        push(&mut query, "q", self.q.as_ref());
        push(&mut query, "deleted", self.deleted.then_some(true));
        self.paging.query(&mut query);
        query
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
            .query(&[("dry_run", "true".to_owned())])
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
        let body = serde_json::json!({ "function": function, "budget-fuel": budget_fuel });
        let request = self.request(Method::POST, &["jobs", id, "retry"])?.json(&body)?;
        request.idempotent(None)?.timeout(Some(SUBMIT_TIMEOUT)).read().await
    }

    /// Lists jobs, newest first.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn jobs(&self, filter: &JobQuery) -> Result<Page<Job>> {
        self.request(Method::GET, &["jobs"])?.query(&filter.query()).read().await
    }

    /// Deletes one page of the ended jobs that match the filter: into the bin, or permanently with `for_good`. The
    /// response's `next` is the cursor of the next page.
    ///
    /// # Errors
    /// `bad-request` for an empty filter, and the errors common to all requests.
    pub async fn delete_jobs(&self, filter: &JobQuery, for_good: bool) -> Result<JobsDeleted> {
        let mut query = filter.query();
        push(&mut query, "now", for_good.then_some(true));
        self.request(Method::DELETE, &["jobs"])?.query(&query).read().await
    }

    /// Returns a job. With `wait`, the server responds when the job ends or the time (at most 60 s) has passed.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn job(&self, id: &str, wait: Option<Duration>) -> Result<Job> {
        let request = self.request(Method::GET, &["jobs", id])?;
        self.waiting(request, wait).read().await
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
        self.request(Method::DELETE, &["jobs", id])?.done().await
    }

    /// Deletes an ended job permanently, with its journal.
    ///
    /// # Errors
    /// As for [`Self::delete_job`].
    pub async fn purge_job(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["jobs", id])?.query(&[("now", "true".to_owned())]).done().await
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
            .query(&[("sample", sample.to_string())])
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
        let mut query = Vec::new();
        push(&mut query, "state", filter.state.as_ref());
        push(&mut query, "stage", filter.stage);
        filter.paging.query(&mut query);
        self.request(Method::GET, &["jobs", id, "tasks"])?.query(&query).read().await
    }

    /// Lists the tasks that were given up, of one job or of all.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn dead_letters(&self, job: Option<&str>, paging: &PageOptions) -> Result<Page<DeadLetter>> {
        let mut query = Vec::new();
        push(&mut query, "job", job);
        paging.query(&mut query);
        self.request(Method::GET, &["dead-letters"])?.query(&query).read().await
    }

    /// Lists the results of a job.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn results(&self, id: &str, paging: &PageOptions) -> Result<Page<ResultInfo>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["jobs", id, "results"])?.query(&query).read().await
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
    pub async fn result_lines(&self, id: &str, lines: &ResultLines) -> Result<Download> {
        let mut query = Vec::new();
        push(&mut query, "line", lines.from);
        push(&mut query, "lines", lines.count);
        push(&mut query, "q", lines.containing.as_ref());
        self.request(Method::GET, &["jobs", id, "result"])?.query(&query).download().await
    }
}

const LONG_POLL: Duration = Duration::from_secs(55);
