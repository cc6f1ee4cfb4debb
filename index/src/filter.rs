//! What a list is narrowed by. Every field is optional; those given must all hold.

use fabric_types::{
    id::{FunctionName, InvocationId},
    job::JobState,
    rest::invocation::InvocationState,
};

/// Narrows the list of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// One of these states; empty: any.
    pub states: Vec<JobState>,
    /// The function.
    pub function: Option<FunctionName>,
    /// A part of the name; upper and lower case of ASCII letters are the same.
    pub name: Option<String>,
    /// A tag, whole.
    pub tag: Option<String>,
    /// How the id begins.
    pub id_prefix: Option<String>,
    /// Accepted at or after this, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Accepted before this, milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Words that all occur, as parts of words, in the id, name, function, submitter, tags, input, parameters or error.
    pub q: Option<String>,
    /// Only those in the bin, instead of only those outside it.
    pub deleted: bool,
    /// Also those that stand for an asynchronous invocation (a job whose id is an invocation's).
    pub invocations: bool,
}

impl JobFilter {
    /// Whether all jobs of the tenant may have to be looked at.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.q.is_some() || self.name.is_some() || self.tag.is_some() || self.id_prefix.is_some()
    }
}

impl LogFilter {
    /// Whether all lines of the tenant may have to be looked at.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.q.is_some()
    }
}

/// Narrows the list of invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvocationFilter {
    /// One of these states; empty: any.
    pub states: Vec<InvocationState>,
    /// The function.
    pub function: Option<FunctionName>,
    /// Accepted at or after this, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Accepted before this, milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// Narrows the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The function.
    pub function: Option<FunctionName>,
    /// The invocation, or the job: they share ids.
    pub invocation: Option<InvocationId>,
    /// How the id of the invocation or job begins: letters and digits.
    pub id_prefix: Option<String>,
    /// The task, as `stage/index`.
    pub task: Option<String>,
    /// Written at or after this, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Words that all occur in the message; upper and lower case of ASCII letters are the same.
    pub q: Option<String>,
    /// This level and above: `trace`, `debug`, `info`, `warn`, `error`. Anything else counts as `info`.
    pub level: Option<String>,
    /// Newest first; else in the order of writing.
    pub newest_first: bool,
}

/// The rank of a level.
pub(crate) fn rank(level: &str) -> i64 {
    match level {
        "trace" => 0,
        "debug" => 1,
        "warn" => 3,
        "error" => 4,
        _ => 2,
    }
}
