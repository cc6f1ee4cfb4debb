//! Errors over HTTP: problem details (RFC 9457) with a stable code and a hint.

use fabric_types::{Code, Fault, fault::Frame};
use serde::{Deserialize, Serialize};

/// The body of every error response, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:fabric:error:` and the code; `docs/errors.md` explains each.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code as words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Description of the failure and of the thing that it concerns.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// Suggested next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The invocation that it concerns, for `fabric logs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// The last lines that the guest wrote on standard error, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
    /// The guest's stack, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<Frame>,
    /// Fuel spent before the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self {
            kind: format!("urn:fabric:error:{}", fault.code),
            title: fault.code.as_str().replace(['-', ':'], " "),
            status: fault.code.http_status(),
            detail: fault.message,
            code: fault.code,
            hint: fault.hint,
            invocation_id: None,
            stderr: fault.stderr,
            backtrace: fault.backtrace,
            fuel: (fault.fuel > 0).then_some(fault.fuel),
        }
    }
}
