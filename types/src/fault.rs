//! What went wrong with one call, with everything a developer needs to mend it.

use crate::Code;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One frame of a guest's backtrace, innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Frame {
    /// The demangled function name, or `<unknown>`.
    pub function: String,
    /// The core module it is in, where the module has a name.
    #[serde(default)]
    pub module: Option<String>,
    /// Source file and line, where the module carries debug information.
    #[serde(default)]
    pub location: Option<String>,
}

/// Why a call or an attempt gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// What happened, to which thing.
    pub message: String,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
    /// The last lines that the guest wrote on standard error, oldest first, without those that are in the message.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The guest's stack, innermost first, without frames of its language's runtime; empty where there is none. At most 64
    /// frames.
    #[serde(default)]
    pub backtrace: Vec<Frame>,
    /// Fuel spent before it happened.
    #[serde(default)]
    pub fuel: u64,
}

impl Fault {
    /// A fault with no hint, no backtrace and no fuel.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, stderr: Vec::new(), backtrace: Vec::new(), fuel: 0 }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the fuel spent.
    #[must_use]
    pub fn with_fuel(mut self, fuel: u64) -> Self {
        self.fuel = fuel;
        self
    }

    /// Whether another attempt may succeed.
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
