//! Job specifications in JSON. A parsed body uses no more memory than the estimate from its text.

use fabric_fuzz::fuzz;
use fabric_gateway::body;
use fabric_types::job::JobSpec;
use serde_json::Value;

/// Returns a lower bound of the memory of a value.
fn memory(value: &Value) -> u64 {
    let own = size_of::<Value>() as u64;
    own + match value {
        Value::Array(items) => items.iter().map(memory).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() as u64 + memory(value)).sum(),
        Value::String(text) => text.len() as u64,
        Value::Number(number) => number.as_str().len() as u64,
        _ => 0,
    }
}

#[test]
fn json_bodies() {
    let spec = br#"{"function":"f","input":{"objects":{"path":"a/","split":"csv:8MiB"}},"params":{"a":[1,{"b":"c\"d"}]},"tags":["t"]}"#;
    let items = br#"{"function":"f@1","input":{"items":[1,"two",{"three":[]},null,1e9,-12345678901234567890123.4567890E+10]},"reduce":{"fan-in":4},"budget-fuel":1}"#;
    fuzz("json-bodies", &[spec, items], |input| {
        let _ = body::json::<JobSpec>(input);
        if let Ok(value) = body::json::<Value>(input) {
            assert!(memory(&value) <= body::json_memory(input), "{value}");
        }
    });
}
