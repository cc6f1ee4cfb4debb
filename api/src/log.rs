//! The query of log lines.

use crate::page::paged;
use fabric_types::id::{FunctionName, InvocationId, JobId};
use serde::{Deserialize, Serialize};

/// A filter for log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only lines of this function.
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub function: Option<FunctionName>,
    /// Only lines of this invocation.
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub invocation: Option<InvocationId>,
    /// Only lines of this job.
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub job: Option<JobId>,
    /// Only lines of invocations and jobs with an id that begins with this, 4 characters or more.
    pub id_prefix: Option<String>,
    /// Only lines of this task, as `stage/index`.
    pub task: Option<String>,
    /// Only lines written at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Words that must all occur in the message.
    pub q: Option<String>,
    /// Only lines of this level and above.
    pub level: Option<String>,
    /// Send server-sent events: lines since `since_ms`, or from now on, for as long as the connection lasts.
    /// `Last-Event-ID` continues after that line.
    pub follow: Option<bool>,
    /// `newest` lists the newest lines first. Default `oldest`.
    #[cfg_attr(feature = "openapi", param(inline))]
    pub order: Option<LogOrder>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Lines per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(LogQuery);

/// The order of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogOrder {
    /// In the order of writing.
    Oldest,
    /// The newest lines first.
    Newest,
}
