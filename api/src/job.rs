//! Bodies and queries of the routes of jobs, tasks and dead letters.

use crate::page::paged;
use fabric_types::{function::FunctionRef, id::JobId, job::TaskState, rest::job::Task};
use serde::{Deserialize, Serialize};

/// The query of a submission.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct SubmitParams {
    /// Plan the job and estimate its cost without running it.
    pub dry_run: Option<bool>,
}

/// Changes to a job that runs again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryRequest {
    /// The function, as `name`, `name@version` or `name:alias`. Default: the version that the job ran.
    pub function: Option<FunctionRef>,
    /// Fuel that the new job may spend, as in a job spec. Default: the budget of the job.
    #[serde(rename = "budget-fuel", deserialize_with = "fabric_types::count::option::deserialize")]
    pub budget_fuel: Option<u64>,
}

/// A filter for jobs. All given fields must match.
///
/// The gateway reads this query key by key, because `state` may also repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
pub struct JobQuery {
    /// Only jobs in this state; may repeat or be a list with commas.
    pub state: Option<String>,
    /// Only jobs of this function.
    pub function: Option<String>,
    /// Only jobs with this text in their name.
    pub name: Option<String>,
    /// Only jobs with this tag.
    pub tag: Option<String>,
    /// Only jobs with an id that begins with this.
    pub id: Option<String>,
    /// Only jobs accepted at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Only jobs accepted before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Words that must all occur.
    pub q: Option<String>,
    /// List the jobs in the bin instead.
    pub deleted: Option<bool>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Jobs per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(JobQuery);

/// The query of a deletion.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DeleteParams {
    /// Remove the job permanently with its journal, instead of moving it to the bin. Its disk space is free at once.
    /// Default false.
    #[serde(default)]
    pub now: bool,
}

/// The result of deleting several jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobsDeleted {
    /// Number of deleted jobs.
    pub deleted: u64,
    /// Cursor for the next call; absent when all jobs are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The query of an audit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct AuditParams {
    /// Percentage of the map tasks, above 0 and at most 100. Default 5.
    pub sample: Option<f64>,
}

/// The report of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// Tasks that ran again.
    pub checked: u64,
    /// Those of them with identical bytes.
    pub same: u64,
    /// Those of them with different bytes.
    pub differing: Vec<Task>,
}

/// A filter for the tasks of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct TaskQuery {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of this stage, counted from 0.
    pub stage: Option<u16>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Tasks per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(TaskQuery);

/// A filter for dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DeadLetterQuery {
    /// Only dead letters of this job.
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub job: Option<JobId>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Dead letters per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(DeadLetterQuery);
