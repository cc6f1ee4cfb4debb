//! The result of an attempt, as JSON.

use fabric::gpu::{Error, Result};
use serde_json::{Value, json};

/// Returns `{"ok": …}`, or the JSON of [`error`].
pub fn of(result: Result<Value>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => self::error(&error),
    }
}

/// Returns the error's code in `error`, and its fields.
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
