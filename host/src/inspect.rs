//! Inspection of an upload: its entry and its description.

use crate::{
    imports,
    shape::{Form, Shape},
};
use fabric_types::{
    Code, Fault,
    digest::ModuleDigest,
    function::{Entry, EntryKind},
};
use serde_json::Value;

/// The result of inspecting an uploaded module.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// SHA-256 of the module's bytes.
    pub digest: ModuleDigest,
    /// Entry of the module.
    pub entry: Entry,
    /// JSON Schema of the parameters, if the module describes them.
    pub describe: Option<Value>,
    /// Description of the module, if it has one.
    pub description: Option<String>,
    /// Milliseconds spent compiling; 0 if the module was already compiled.
    pub compile_ms: u64,
    /// Problems that do not prevent the use of the module.
    pub warnings: Vec<String>,
}

/// Determines a module's entry from its exports alone.
///
/// # Errors
/// `no-entry` if none of its exports can be called, `unknown-import` if it was built for another `fabric:task`.
pub(crate) fn entry(shape: &Shape) -> Result<Entry, Fault> {
    let entry = |kind, handler, mapper, reducer| Entry { kind, handler, mapper, reducer };
    if shape.form == Form::Core {
        if shape.exports.iter().any(|e| e == "_start") {
            return Ok(entry(EntryKind::Command, false, true, true));
        }
        return Err(none("a core module is entered at `_start`, and this one has none")
            .hint("build a program, not a library; or build a component for wasm32-wasip2"));
    }
    let mut found = entry(EntryKind::Task, false, false, false);
    let (mut task, mut http, mut command) = (false, false, false);
    for export in &shape.exports {
        let Some((package, interface, version)) = imports::split(export) else { continue };
        match (package, interface) {
            ("fabric:task", "handler" | "mapper" | "reducer") => {
                let (major, minor, patch) = imports::TASK_VERSION;
                if version.is_none_or(|(a, b, _)| (a, b) != (major, minor)) {
                    return Err(Fault::new(
                        Code::UnknownImport,
                        format!(
                            "the module exports `{export}`, but this host serves fabric:task {major}.{minor}.{patch}"
                        ),
                    )
                    .hint("build it again with the SDK of this release"));
                }
                task = true;
                match interface {
                    "handler" => found.handler = true,
                    "mapper" => found.mapper = true,
                    _ => found.reducer = true,
                }
            }
            ("wasi:http", "incoming-handler") if matches!(version, Some((0, 2, _))) => http = true,
            ("wasi:cli", "run") if matches!(version, Some((0, 2, _))) => command = true,
            _ => {}
        }
    }
    match (task, http, command) {
        (true, _, _) => Ok(found),
        (false, true, _) => Ok(entry(EntryKind::Http, false, false, false)),
        (false, false, true) => Ok(entry(EntryKind::Command, false, true, true)),
        _ => Err(none(
            "the component exports neither a part of fabric:task, nor wasi:http/incoming-handler, nor wasi:cli/run",
        )
        .hint("with the Rust SDK, put #[fabric::map], #[fabric::reduce] or #[fabric::handler] on a function")),
    }
}

fn none(why: &str) -> Fault {
    Fault::new(Code::NoEntry, format!("the module can't be called: {why}"))
}

/// Returns `true` if the module exports `describe`.
pub(crate) fn described(shape: &Shape) -> bool {
    shape.exports.iter().any(|e| matches!(imports::split(e), Some(("fabric:task", "describe", _))))
}

/// Maximum length of a description, in bytes. The parser bounds its nesting to 128.
const MAX_DESCRIPTION: usize = 256 << 10;

/// Parses a module's description into its parameter schema and its text. Returns a warning if it is invalid.
pub(crate) fn description(json: &str) -> Result<(Option<Value>, Option<String>), String> {
    if json.len() > MAX_DESCRIPTION {
        return Err(format!("`describe` gave {} bytes, at most {MAX_DESCRIPTION} are read", json.len()));
    }
    fabric_types::json::check_names(json.as_bytes()).map_err(|e| format!("`describe`: {e}"))?;
    let value: Value = serde_json::from_str(json).map_err(|e| format!("`describe` gave no JSON: {e}"))?;
    let Value::Object(mut map) = value else { return Err("`describe` gave no JSON object".into()) };
    let params = map.remove("params").filter(Value::is_object);
    let description = map.remove("description").and_then(|d| d.as_str().map(|s| s.chars().take(4096).collect()));
    Ok((params, description))
}
