//! The failure of a call, with the details that a developer needs to fix it.

use crate::Code;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A frame of a guest's backtrace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Frame {
    /// The demangled function name, or `<unknown>`.
    pub function: String,
    /// Name of the core module that contains it, if the module has a name.
    #[serde(default)]
    pub module: Option<String>,
    /// Source file and line, if the module has debug information.
    #[serde(default)]
    pub location: Option<String>,
}

/// The reason why a call or an attempt has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// Description of the failure and of the thing that it concerns.
    pub message: String,
    /// Suggested next step.
    #[serde(default)]
    pub hint: Option<String>,
    /// The last lines that the guest wrote to standard error, oldest first, except lines that are part of the message.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The guest's stack, innermost frame first, without frames of its language's runtime. At most 64 frames; empty if
    /// there is none.
    #[serde(default)]
    pub backtrace: Vec<Frame>,
    /// Fuel spent before the failure.
    #[serde(default)]
    pub fuel: u64,
}

impl Fault {
    /// Creates a fault without a hint, a backtrace or fuel.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, stderr: Vec::new(), backtrace: Vec::new(), fuel: 0 }
    }

    /// Sets the suggested next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the fuel spent.
    #[must_use]
    pub fn with_fuel(mut self, fuel: u64) -> Self {
        self.fuel = fuel;
        self
    }

    /// Returns `true` if another attempt may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
