//! Jobs, their tasks and results.

use crate::{Client, Download, Paging, Result, functions::push};
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

/// Listing a large prefix takes the server a while.
pub(crate) const SUBMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// An audit runs tasks again.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(1800);

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// In any of these states; empty for all.
    pub states: Vec<String>,
    /// Of one function.
    pub function: Option<String>,
    /// Part of the name.
    pub name: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// The beginning of the id.
    pub id: Option<String>,
    /// Accepted since.
    pub since_ms: Option<u64>,
    /// Accepted until.
    pub until_ms: Option<u64>,
    /// Words anywhere in it.
    pub q: Option<String>,
    /// Those in the bin instead of the others.
    pub deleted: bool,
    /// Which page.
    pub paging: Paging,
}

/// Which tasks of a job to list.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// In one state.
    pub state: Option<String>,
    /// Of one stage.
    pub stage: Option<u16>,
    /// Which page.
    pub paging: Paging,
}

/// One result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// Counts from 0.
    pub index: u64,
    /// Its size.
    pub bytes: u64,
    /// The BLAKE3 of it.
    pub digest: String,
    /// The task key that it is stored under.
    #[serde(default)]
    pub key: Option<String>,
    /// Its media type.
    #[serde(default)]
    pub content_type: Option<String>,
}

/// Part of a job's result by lines.
#[derive(Debug, Clone, Default)]
pub struct ResultLines {
    /// The first line, from 0.
    pub from: Option<u64>,
    /// How many.
    pub count: Option<u64>,
    /// Only lines that contain it.
    pub containing: Option<String>,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Tasks that were run again.
    pub checked: u64,
    /// Of those, how many gave the same bytes.
    pub same: u64,
    /// Those that did not.
    #[serde(default)]
    pub differing: Vec<Difference>,
}

/// A task whose second run gave other bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Its stage.
    pub stage: u16,
    /// Its index in the stage.
    pub index: u32,
    /// Whatever else the server says of it.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl JobFilter {
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
    /// Submits a job. `key` makes a repeat give the job that was made the first time; without one a new key is made.
    ///
    /// # Errors
    /// `not-found` for the function, `invalid-params`, `invalid-input-spec`, `budget-exhausted` and those of every
    /// request.
    pub async fn submit(&self, spec: &JobSpec, key: Option<&str>) -> Result<Job> {
        self.request(Method::POST, &["jobs"])?.json(spec)?.idempotent(key)?.timeout(Some(SUBMIT_TIMEOUT)).read().await
    }

    /// What a job would take, without running it.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn plan(&self, spec: &JobSpec) -> Result<JobPlan> {
        self.request(Method::POST, &["jobs"])?
            .query(&[("dry_run", "true".to_owned())])
            .json(spec)?
            .idempotent(None)?
            .timeout(Some(SUBMIT_TIMEOUT))
            .read()
            .await
    }

    /// Submits a job that has ended once more, as a new job: the version that it ran, or `function`; with its budget, or another. Tasks that succeeded are
    /// served from the cache where the function is pure and the version the same.
    ///
    /// # Errors
    /// `not-found`; `conflict` for a job that has not ended; as [`Client::submit`].
    pub async fn retry_job(&self, id: &str, function: Option<&FunctionRef>, budget_fuel: Option<u64>) -> Result<Job> {
        let body = serde_json::json!({ "function": function, "budget-fuel": budget_fuel });
        let request = self.request(Method::POST, &["jobs", id, "retry"])?.json(&body)?;
        request.idempotent(None)?.timeout(Some(SUBMIT_TIMEOUT)).read().await
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Page<Job>> {
        self.request(Method::GET, &["jobs"])?.query(&filter.query()).read().await
    }

    /// Deletes a page of the ended jobs that the filter finds: into the bin, or `for_good`. What it gives as `next` is the
    /// cursor of the next page.
    ///
    /// # Errors
    /// `bad-request` for a filter that says nothing, and those of every request.
    pub async fn delete_jobs(&self, filter: &JobFilter, for_good: bool) -> Result<JobsDeleted> {
        let mut query = filter.query();
        push(&mut query, "now", for_good.then_some(true));
        self.request(Method::DELETE, &["jobs"])?.query(&query).read().await
    }

    /// One job; with `wait`, the answer comes when it ends or the time (at most 60 s) is over.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn job(&self, id: &str, wait: Option<Duration>) -> Result<Job> {
        let request = self.request(Method::GET, &["jobs", id])?;
        self.waiting(request, wait).read().await
    }

    /// Waits until a job ends.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn wait_job(&self, id: &str) -> Result<Job> {
        loop {
            let job = self.job(id, Some(LONG_POLL)).await?;
            if job.state.is_terminal() {
                return Ok(job);
            }
        }
    }

    /// Stops a job.
    ///
    /// # Errors
    /// `not-found`, `conflict` where it has ended, and those of every request.
    pub async fn cancel_job(&self, id: &str) -> Result<Job> {
        self.request(Method::POST, &["jobs", id, "cancel"])?.idempotent(None)?.read().await
    }

    /// Puts a job that has ended into the bin.
    ///
    /// # Errors
    /// `not-found`, `conflict` where it has not ended, and those of every request.
    pub async fn delete_job(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["jobs", id])?.done().await
    }

    /// Removes an ended job for good, with its journal.
    ///
    /// # Errors
    /// As for [`Self::delete_job`].
    pub async fn purge_job(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["jobs", id])?.query(&[("now", "true".to_owned())]).done().await
    }

    /// Takes a job out of the bin.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn restore_job(&self, id: &str) -> Result<Job> {
        self.request(Method::POST, &["jobs", id, "restore"])?.idempotent(None)?.read().await
    }

    /// Runs a sample of a job's map tasks again, `sample` percent of them (above 0, up to 100), and compares.
    ///
    /// # Errors
    /// `not-found`, `conflict` and those of every request.
    pub async fn audit_job(&self, id: &str, sample: f64) -> Result<AuditReport> {
        self.request(Method::POST, &["jobs", id, "audit"])?
            .query(&[("sample", sample.to_string())])
            .idempotent(None)?
            .timeout(Some(AUDIT_TIMEOUT))
            .read()
            .await
    }

    /// A job's tasks, by stage and index.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn tasks(&self, id: &str, filter: &TaskFilter) -> Result<Page<Task>> {
        let mut query = Vec::new();
        push(&mut query, "state", filter.state.as_ref());
        push(&mut query, "stage", filter.stage);
        filter.paging.query(&mut query);
        self.request(Method::GET, &["jobs", id, "tasks"])?.query(&query).read().await
    }

    /// Tasks that were given up on, of one job or of all.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn dead_letters(&self, job: Option<&str>, paging: &Paging) -> Result<Page<DeadLetter>> {
        let mut query = Vec::new();
        push(&mut query, "job", job);
        paging.query(&mut query);
        self.request(Method::GET, &["dead-letters"])?.query(&query).read().await
    }

    /// What results a job has.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn results(&self, id: &str, paging: &Paging) -> Result<Page<ResultInfo>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["jobs", id, "results"])?.query(&query).read().await
    }

    /// All of a job's results, one after another.
    ///
    /// # Errors
    /// `not-found` until they are there, the fault of a job that failed, and those of every request.
    pub async fn result(&self, id: &str) -> Result<Download> {
        self.request(Method::GET, &["jobs", id, "result"])?.download().await
    }

    /// One of a job's results, from 0.
    ///
    /// # Errors
    /// As [`Client::result`].
    pub async fn result_part(&self, id: &str, index: u64) -> Result<Download> {
        self.request(Method::GET, &["jobs", id, "result", &index.to_string()])?.download().await
    }

    /// Some lines of a job's result.
    ///
    /// # Errors
    /// As [`Client::result`].
    pub async fn result_lines(&self, id: &str, lines: &ResultLines) -> Result<Download> {
        let mut query = Vec::new();
        push(&mut query, "line", lines.from);
        push(&mut query, "lines", lines.count);
        push(&mut query, "q", lines.containing.as_ref());
        self.request(Method::GET, &["jobs", id, "result"])?.query(&query).download().await
    }
}

const LONG_POLL: Duration = Duration::from_secs(55);
