//! Parser for job specifications in YAML. It rejects anchors, aliases, merge keys, tags and multiple documents, and
//! limits the size, the nesting and the number of values.

use crate::{
    dataset::{InputSpec, Item},
    job::JobSpec,
    parse_error,
};
use serde_json::{Number, Value};
use serde_saphyr::{
    Error, Options,
    options::{DuplicateKeyPolicy, MergeKeyPolicy},
};

/// Maximum size of a YAML text in bytes. JSON may be larger.
pub const MAX_BYTES: usize = 4 << 20;
/// Maximum nesting.
pub const MAX_DEPTH: usize = 64;
/// Maximum number of values, including keys.
pub const MAX_VALUES: usize = 500_000;

/// YAML that is not a job specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidYaml {
    /// Description of the error, with line and column where they are known.
    pub message: String,
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(MAX_BYTES),
            flow_nesting_limit: MAX_DEPTH,
            max_depth: MAX_DEPTH,
            max_events: 2 * MAX_VALUES,
            max_nodes: MAX_VALUES,
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
            max_documents: 1,
            max_inclusion_depth: 0,
            max_total_scalar_bytes: MAX_BYTES,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Returns the beginning of the error's message, followed by the line that it refers to, which shows the key.
fn message(error: &Error, text: &[u8]) -> String {
    let message: String = parse_error::plain(error.to_string().trim_end()).chars().take(310).collect();
    let line = error.location().and_then(|at| usize::try_from(at.line()).ok()?.checked_sub(1));
    let line = line.and_then(|at| text.split(|byte| *byte == b'\n').nth(at));
    let quoted: String = String::from_utf8_lossy(line.unwrap_or_default()).trim().chars().take(80).collect();
    if quoted.is_empty() { message } else { format!("{message}: `{quoted}`") }
}

impl JobSpec {
    /// Parses a job specification in YAML. It has the same structure as in JSON.
    ///
    /// # Errors
    /// [`InvalidYaml`] if the text is not a job specification, exceeds a limit, or has a number that YAML does not
    /// preserve exactly.
    pub fn from_yaml(text: &[u8]) -> Result<Self, InvalidYaml> {
        if text.len() > MAX_BYTES {
            return Err(InvalidYaml { message: format!("YAML of more than {MAX_BYTES} bytes is not read; send JSON") });
        }
        let spec: Self = serde_saphyr::from_slice_with_options(text, options())
            .map_err(|e| InvalidYaml { message: message(&e, text) })?;
        let items = if let InputSpec::Items(items) = &spec.input { items.as_slice() } else { &[] };
        let found = spec.params.values().find_map(rounded).or_else(|| {
            items.iter().find_map(|item| match item {
                Item::Json(json) => serde_json::from_str(json).ok().as_ref().and_then(rounded),
                Item::Text(_) => None,
            })
        });
        match found {
            Some(number) => Err(InvalidYaml {
                message: format!(
                    "a number that reads as {number} may have lost digits in YAML: quote it, or send JSON"
                ),
            }),
            None => Ok(spec),
        }
    }
}

/// A float represents every whole number up to this one exactly.
const EXACT: f64 = (1_u64 << 53) as f64;

/// Returns a number within `value` that may differ from the text: the YAML parser converts whole numbers that do not
/// fit 64 bits to floats. The parser limits the nesting, so the recursion is bounded.
fn rounded(value: &Value) -> Option<Number> {
    match value {
        Value::Number(n) if n.as_i64().is_none() && n.as_u64().is_none() => {
            n.as_f64().is_none_or(|float| float.fract() == 0.0 && float.abs() >= EXACT).then(|| n.clone())
        }
        Value::Array(values) => values.iter().find_map(rounded),
        Value::Object(map) => map.values().find_map(rounded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<JobSpec, String> {
        JobSpec::from_yaml(text.as_bytes()).map_err(|e| e.message)
    }

    #[test]
    fn yaml_and_json_have_one_shape() {
        let yaml = "
# a comment
function: weather:live
name: \"2013\"
input:
  objects: {path: data/, split: 'lines:1MiB'}
params:
  yes: yes
  on: [1, -2, 3.5, 1e3, 0x10, ~, null, true, off, '7', 2013-01-01]
  text: |
    two
    lines
reduce: {fan-in: 4}
tags:
- a
- b
";
        let json = serde_json::json!({
            "function": "weather:live", "name": "2013", "input": {"objects": {"path": "data/", "split": "lines:1MiB"}},
            "params": {"yes": "yes", "on": [1, -2, 3.5, 1e3, 16, null, null, true, "off", "7", "2013-01-01"], "text": "two\nlines\n"},
            "reduce": {"fan-in": 4}, "tags": ["a", "b"]
        });
        assert_eq!(read(yaml).unwrap(), serde_json::from_value(json).unwrap());
        let items = read("function: f\ninput:\n  items:\n  - 1\n  - {a: b}\n  - text").unwrap();
        assert_eq!(
            items,
            serde_json::from_value(serde_json::json!({"function": "f", "input": {"items": [1, {"a": "b"}, "text"]}}))
                .unwrap()
        );
        let json = r#"{"function": "f", "input": {"items": [1, "a\u0020b"]}}"#;
        assert_eq!(read(json).unwrap(), serde_json::from_str(json).unwrap());
    }

    #[test]
    fn mistakes_name_the_key_and_the_line() {
        for (yaml, words) in [
            ("function: f\ninputs: {items: []}", ["inputs", "line 2"]),
            ("function: f\ninput: {items: []}\nbudget-fuel: lots", ["line 3", "`budget-fuel: lots`"]),
            ("function: f\ninput: {items: []}\nreduce:\n  fan-in: x", ["line 4", "`fan-in: x`"]),
            ("function: f", ["input", "missing"]),
            ("function: f\ninput: {items: []}\nreduce: {fan-in: many}", ["whole number", "line 3"]),
            ("function: f\nfunction: g\ninput: {items: []}", ["function", "line 2"]),
            ("function: f\ninput: {object: {path: a}}", ["object", "line 2"]),
            ("function: f\n\tinput: x", ["tab", "line 1"]),
        ] {
            let problem = read(yaml).unwrap_err();
            assert!(words.iter().all(|w| problem.to_lowercase().contains(w)), "{yaml}: {problem}");
        }
    }

    #[test]
    fn numbers_that_yaml_would_round_are_refused() {
        let of = |number: &str| {
            read(&format!("function: f\ninput: {{items: [[{number}]]}}\nparams: {{a: {{b: {number}}}}}"))
        };
        for number in ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890", "1e300"] {
            assert!(of(number).unwrap_err().contains("quote it, or send JSON"), "{number}");
            of(&format!("'{number}'")).unwrap();
        }
        for number in ["18446744073709551615", "-9223372036854775808", "1.5", "1e3", "1e-300", "0"] {
            of(number).unwrap();
        }
    }

    #[test]
    fn what_multiplies_or_nests_without_end_is_refused() {
        let aliases = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            let before = n - 1;
            format!("{text}a{n}: &a{n} [*a{before}, *a{before}]\n")
        });
        let merge = "function: f\ninput: {items: [{<<: {a: 1}}]}";
        let tagged = "function: f\ninput: !items [1]";
        let two = "function: f\ninput: {items: []}\n---\nfunction: g\ninput: {items: []}";
        let flow = format!("function: f\ninput: {{items: {}}}", "[".repeat(360_000));
        let maps = format!("function: f\ninput: {{items: {}}}", "{a: ".repeat(100_000));
        let blocks = (0..3_000).fold("function: f\n".to_owned(), |text, n| format!("{text}{}a:\n", " ".repeat(n)));
        let dashes = format!("function: f\ninput:\n  items:\n  {}1", "- ".repeat(200_000));
        let keys = format!("function: f\ninput: {{items: [{}]}}", "? ".repeat(200_000));
        let many = format!("function: f\ninput: {{items: [{}]}}", "1,".repeat(MAX_VALUES + 1));
        let long = format!("function: f\nname: {}", "x".repeat(MAX_BYTES));
        for text in [&aliases, merge, tagged, two, &flow, &maps, &blocks, &dashes, &keys, &many, &long] {
            let problem = read(text).unwrap_err();
            assert!(problem.len() <= 500, "{}", problem.len());
        }
    }

    #[test]
    fn long_but_plain_texts_are_read() {
        let items: String = (0..100_000).map(|n| format!("  - {n}\n")).collect();
        read(&format!("function: f\ninput:\n  items:\n{items}")).unwrap();
        let text = "x".repeat(1_000_000);
        let spec = read(&format!("function: f\ninput: {{items: []}}\nparams: {{a: {text}, b: '{text}'}}")).unwrap();
        assert_eq!(spec.params.len(), 2);
    }
}
