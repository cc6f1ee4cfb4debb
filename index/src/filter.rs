//! Filters of lists. Every field is optional; all given ones must match.

use fabric_types::{
    id::{FunctionName, InvocationId},
    job::JobState,
    rest::invocation::InvocationState,
};

/// A filter for the list of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// One of these states. Empty matches any.
    pub states: Vec<JobState>,
    /// The function.
    pub function: Option<FunctionName>,
    /// A substring of the name, case-insensitive for ASCII letters.
    pub name: Option<String>,
    /// A complete tag.
    pub tag: Option<String>,
    /// A prefix of the id.
    pub id_prefix: Option<String>,
    /// Accepted at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Accepted before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Words that all occur, as substrings, in the id, name, function, submitter, tags, input, parameters or error.
    pub q: Option<String>,
    /// Lists only deleted jobs instead of only the others.
    pub deleted: bool,
    /// Includes jobs that represent an asynchronous invocation (their id is that of an invocation).
    pub invocations: bool,
}

impl JobFilter {
    /// Returns `true` if the filter may have to scan all jobs of the tenant.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.q.is_some() || self.name.is_some() || self.tag.is_some() || self.id_prefix.is_some()
    }
}

impl LogFilter {
    /// Returns `true` if the filter may have to scan all lines of the tenant.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.q.is_some()
    }
}

/// A filter for the list of invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvocationFilter {
    /// One of these states. Empty matches any.
    pub states: Vec<InvocationState>,
    /// The function.
    pub function: Option<FunctionName>,
    /// Accepted at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Accepted before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// A filter for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The function.
    pub function: Option<FunctionName>,
    /// The invocation or the job, which share ids.
    pub invocation: Option<InvocationId>,
    /// A prefix of the id of the invocation or job: letters and digits.
    pub id_prefix: Option<String>,
    /// The task, as `stage/index`.
    pub task: Option<String>,
    /// Written at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Words that all occur in the message, case-insensitive for ASCII letters.
    pub q: Option<String>,
    /// The minimum level: `trace`, `debug`, `info`, `warn`, `error`. Any other text counts as `info`.
    pub level: Option<String>,
    /// Newest first instead of in order of writing.
    pub newest_first: bool,
}

/// Returns the rank of a level.
pub(crate) fn rank(level: &str) -> i64 {
    match level {
        "trace" => 0,
        "debug" => 1,
        "warn" => 3,
        "error" => 4,
        _ => 2,
    }
}
