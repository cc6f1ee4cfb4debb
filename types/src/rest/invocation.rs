//! Invocations and their logs.

use crate::{
    Code, Fault,
    id::{FunctionName, InvocationId},
};
use serde::{Deserialize, Serialize};

/// Where an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InvocationState {
    /// Accepted, not running yet.
    Queued,
    /// Running.
    Running,
    /// There is a result.
    Succeeded,
    /// There is an error.
    Failed,
    /// A user stopped it, or the caller that waited for it left.
    Cancelled,
}

impl InvocationState {
    /// The state of a call that has ended, with an error or without.
    #[must_use]
    pub fn of(error: Option<&Fault>) -> Self {
        match error.map(|fault| fault.code) {
            None => Self::Succeeded,
            Some(Code::Cancelled) => Self::Cancelled,
            Some(_) => Self::Failed,
        }
    }
}

/// One call of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// The function.
    pub function: FunctionName,
    /// The version that ran.
    pub version: u32,
    /// Where it stands.
    pub state: InvocationState,
    /// When it was accepted.
    pub created_ms: u64,
    /// When it ended.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Fuel spent.
    pub fuel: u64,
    /// Device time of its GPU work, microseconds.
    #[serde(default)]
    pub gpu_us: u64,
    /// Whether the result came from an earlier call with the same module, input and parameters.
    pub cached: bool,
    /// Bytes of the result.
    pub result_bytes: Option<u64>,
    /// The media type of the result, where there is one. Lists leave it out for asynchronous invocations.
    pub content_type: Option<String>,
    /// Where the result is: `/v1/invocations/{id}/result`.
    pub result_url: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Fault>,
}

/// How a line came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The guest's standard output, where that is not the result.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// A line through `fabric:task/log`.
    Log,
    /// Fabric's word about the call, such as its fault.
    System,
}

/// One line of an invocation's or task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The invocation, or the job for a task's line.
    pub invocation_id: InvocationId,
    /// The function.
    pub function: FunctionName,
    /// The task, as `stage/index`, for a job's lines.
    #[serde(default)]
    pub task: Option<String>,
    /// How it came to be.
    pub source: LogSource,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text, without the line feed; at most 16 KiB.
    pub message: String,
}
