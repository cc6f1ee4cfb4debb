//! How an attempt ended, as JSON.

use fabric::gpu::{Error, Result};
use serde_json::{Value, json};

/// `{"ok": …}`, or what [`error`] gives.
pub fn of(result: Result<Value>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => self::error(&error),
    }
}

/// The error's case in `error`, with what it carries.
fn error(error: &Error) -> Value {
    let code = error.code();
    match error {
        Error::Limit { name, value, limit } => json!({ "error": code, "name": name, "value": value, "limit": limit }),
        Error::Shader { message, line, column } => {
            json!({ "error": code, "message": message, "line": line, "column": column })
        }
        Error::Denied(message) | Error::Invalid(message) | Error::DeviceLost(message) | Error::Busy(message) => {
            json!({ "error": code, "message": message })
        }
        Error::OutOfMemory | Error::TimedOut => json!({ "error": code }),
    }
}
