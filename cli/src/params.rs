//! Parameters and data on the command line.

use crate::failure::Failure;
use fabric_client::Client;
use fabric_types::{
    Code,
    function::{FunctionRef, Selector},
};
use serde_json::{Map, Value};

/// Maximum size of a file with parameters or data, in bytes.
const FILE_LIMIT: u64 = 16 << 20;

/// A `--param` argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// `NAME=VALUE`, with the value as written.
    Value(String, String),
    /// `@FILE`: a JSON object with any number of parameters.
    File(String),
}

/// Parses `NAME=VALUE` or `@FILE`.
pub fn parse(text: &str) -> Result<Param, String> {
    if let Some(file) = text.strip_prefix('@') {
        return if file.is_empty() { Err("name the file: @FILE".to_owned()) } else { Ok(Param::File(file.to_owned())) };
    }
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not a parameter: write NAME=VALUE or @FILE"))?;
    if key.is_empty() {
        return Err(format!("`{text}` has no name: write NAME=VALUE"));
    }
    Ok(Param::Value(key.to_owned(), value.to_owned()))
}

/// Parses a value. Valid JSON (a number, `true`, `[1,2]`, `"text"`) is JSON; anything else is text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Merges the parameters into one object. Of two with the same name, the last one counts. If the function's schema
/// expects text for a parameter, a value that reads as a number, `true`, `false` or `null` is text: `-p zip=08001`.
pub async fn object(params: &[Param], client: &Client, function: &FunctionRef) -> Result<Map<String, Value>, Failure> {
    let mut object = Map::new();
    let mut unclear = Vec::new();
    for param in params {
        match param {
            Param::Value(key, text) => {
                let value = value(text);
                unclear.retain(|(other, _)| other != key);
                if matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null) {
                    unclear.push((key.clone(), text.clone()));
                }
                object.insert(key.clone(), value);
            }
            Param::File(file) => {
                let read: Map<String, Value> = serde_json::from_str(&text_of(file)?)
                    .map_err(|e| Failure::usage(format!("{file}: {e}")).hint("a parameter file is a JSON object"))?;
                unclear.retain(|(key, _)| !read.contains_key(key));
                object.extend(read);
            }
        }
    }
    if !unclear.is_empty()
        && let Some(schema) = schema(client, function).await
    {
        for (key, text) in unclear.into_iter().filter(|(key, _)| wants_text(&schema, key)) {
            object.insert(key, Value::String(text));
        }
    }
    Ok(object)
}

/// Returns the parameter schema of the version that a call would reach, of the first one if calls are divided. `None`
/// if the caller may not read it; the call itself then reports any error.
async fn schema(client: &Client, function: &FunctionRef) -> Option<Value> {
    let name = function.name.as_str();
    let version = match &function.selector {
        Selector::Version(version) => *version,
        Selector::Default => {
            let summary = client.function(name).await.ok()?;
            summary.live.first().map_or(summary.latest, |target| target.version)
        }
        Selector::Alias(alias) => {
            let aliases = client.aliases(name).await.ok()?.items;
            aliases.into_iter().find(|a| a.name == *alias)?.targets.first()?.version
        }
    };
    client.version(name, version).await.ok()?.manifest.params
}

/// Returns `true` if a schema accepts text for a property, and neither a number nor a boolean.
fn wants_text(schema: &Value, key: &str) -> bool {
    let kinds = match schema.pointer("/properties").and_then(|all| all.get(key)).and_then(|of| of.get("type")) {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    kinds.contains(&"string") && !kinds.iter().any(|kind| ["number", "integer", "boolean"].contains(kind))
}

/// Reads the text of a file, or of standard input for `-`, up to `FILE_LIMIT` bytes.
pub fn text_of(path: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().take(FILE_LIMIT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_LIMIT + 1).read_to_string(&mut text))
    };
    read.map_err(|e| Failure::io(path, e))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!("{path}: longer than {} MiB", FILE_LIMIT >> 20)));
    }
    Ok(text)
}

/// Adds a hint about quotes to the failure of a call if a parameter is a bare number or boolean.
pub fn explained(failure: Failure, params: &[Param]) -> Failure {
    let bare = |param: &Param| matches!(param, Param::Value(_, text) if matches!(value(text), Value::Number(_) | Value::Bool(_)));
    let is_type = failure.message.contains("is not of type \"string\"");
    if failure.code == Code::InvalidParams.as_str() && is_type && params.iter().any(bare) {
        return failure.hint("a value that looks like a number is one; for a text, quote it: -p 'NAME=\"123\"'");
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (text, wanted) in [
            ("1", json!(1)),
            ("true", json!(true)),
            ("[1,2]", json!([1, 2])),
            ("New York", json!("New York")),
            ("\"1\"", json!("1")),
            ("", json!("")),
            ("b=c", json!("b=c")),
        ] {
            assert_eq!(value(text), wanted, "{text}");
            assert_eq!(parse(&format!("a={text}")), Ok(Param::Value("a".to_owned(), text.to_owned())));
        }
        assert_eq!(parse("@a.json"), Ok(Param::File("a.json".to_owned())));
        for bad in ["a", "=1", "@"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_schema_says_which_values_are_text() {
        let schema = json!({ "properties": {
            "zip": { "type": "string" }, "year": { "type": "integer" }, "both": { "type": ["string", "number"] },
            "maybe": { "type": ["string", "null"] }, "any": {}
        } });
        let text: Vec<_> = ["zip", "year", "both", "maybe", "any", "none"]
            .into_iter()
            .filter(|key| wants_text(&schema, key))
            .collect();
        assert_eq!(text, ["zip", "maybe"]);
        assert!(!wants_text(&json!(true), "zip"));
    }
}
