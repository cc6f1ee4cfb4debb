//! Invocations and their logs.

use crate::{
    Code, Fault,
    id::{FunctionName, InvocationId},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InvocationState {
    /// Accepted, but not running yet.
    Queued,
    /// Running.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped by a user, or because the waiting caller disconnected.
    Cancelled,
}

impl InvocationState {
    /// Returns the state of an ended call with this error, or without one.
    #[must_use]
    pub fn of(error: Option<&Fault>) -> Self {
        match error.map(|fault| fault.code) {
            None => Self::Succeeded,
            Some(Code::Cancelled) => Self::Cancelled,
            Some(_) => Self::Failed,
        }
    }

    /// Returns the state as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for InvocationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invocation {
    /// Invocation id.
    pub id: InvocationId,
    /// Name of the function.
    pub function: FunctionName,
    /// Version that ran.
    pub version: u32,
    /// Current state.
    pub state: InvocationState,
    /// Time of acceptance.
    pub created_ms: u64,
    /// End time.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Fuel spent.
    pub fuel: u64,
    /// Device time of its GPU work, in microseconds.
    #[serde(default)]
    pub gpu_us: u64,
    /// `true` if the result came from an earlier call with the same module, input and parameters.
    pub cached: bool,
    /// Size of the result in bytes.
    pub result_bytes: Option<u64>,
    /// Media type of the result, if there is one. Lists omit it for asynchronous invocations.
    pub content_type: Option<String>,
    /// URL of the result: `/v1/invocations/{id}/result`.
    pub result_url: Option<String>,
    /// The fault of a failed call.
    #[serde(default)]
    pub error: Option<Fault>,
}

/// The origin of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The guest's standard output, if it is not the result.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// `fabric:task/log`.
    Log,
    /// A message of Fabric about the call, such as its fault.
    System,
}

/// One line of an invocation's or task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Time, in milliseconds since 1970.
    pub at_ms: u64,
    /// Invocation id, or the job's id for a line of a task.
    pub invocation_id: InvocationId,
    /// Name of the function.
    pub function: FunctionName,
    /// Task of a job's line, as `stage/index`.
    #[serde(default)]
    pub task: Option<String>,
    /// Origin of the line.
    pub source: LogSource,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Text without the line feed, at most 16 KiB.
    pub message: String,
}
