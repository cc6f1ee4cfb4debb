//! Parameters against their JSON Schema: what a schema may be, and what a violation looks like.

use crate::{Error, error::Result};
use fabric_types::Code;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// Bytes of the largest schema.
pub const MAX_SCHEMA: usize = 256 * 1024;
/// Violations that one error names.
const MAX_VIOLATIONS: usize = 20;

/// Compiles a schema. It may refer to its own parts only, and its patterns run in linear time.
///
/// # Errors
/// `invalid-manifest` with what is wrong.
pub fn compile(schema: &Value) -> Result<Validator> {
    let bad = |problem: String| {
        Error::new(Code::InvalidManifest, format!("params: {problem}"))
            .hint("write a JSON Schema (2020-12) that refers to nothing outside itself")
    };
    let size = serde_json::to_vec(schema).map_or(usize::MAX, |b| b.len());
    if size > MAX_SCHEMA {
        return Err(bad(format!("the schema has {size} bytes, more than {MAX_SCHEMA}")));
    }
    if let Some(reference) = remote(schema) {
        return Err(bad(format!("`$ref` to `{reference}` leaves the schema")));
    }
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .build(schema)
        .map_err(|e| bad(format!("at `{}`: {e}", e.instance_path())))
}

/// The first reference that leaves the document, if any.
fn remote(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(map) => map.iter().find_map(|(key, value)| match value {
            Value::String(text)
                if matches!(key.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") && !text.starts_with('#') =>
            {
                Some(text.chars().take(200).collect())
            }
            other => remote(other),
        }),
        Value::Array(items) => items.iter().find_map(remote),
        _ => None,
    }
}

/// Checks parameters.
///
/// # Errors
/// `invalid-params` that names the path and the problem of each violation, the first 20 of them.
pub fn check(validator: &Validator, params: &Map<String, Value>) -> Result<()> {
    let value = Value::Object(params.clone());
    if validator.is_valid(&value) {
        return Ok(());
    }
    let found: Vec<String> = validator
        .iter_errors(&value)
        .take(MAX_VIOLATIONS)
        .map(|e| {
            let path = e.instance_path().to_string();
            let problem: String = e.to_string().chars().take(300).collect();
            format!("`{}`: {problem}", if path.is_empty() { "/" } else { &path })
        })
        .collect();
    Err(Error::new(
        Code::InvalidParams,
        format!("the parameters do not fit the function's schema: {}", found.join("; ")),
    )
    .hint("`fabric functions show NAME` shows the schema"))
}
