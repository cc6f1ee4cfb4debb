//! Validation of parameters against their JSON Schema: the accepted schemas, the cost limits of a check, and the text
//! of violations.

use super::schema_cost::{Graph, SchemaCost};
use crate::{Error, error::Result};
use fabric_types::Code;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};

/// Maximum violations in one error.
const MAX_VIOLATIONS: usize = 20;
/// Maximum characters of one violation.
const MAX_TEXT: usize = 300;
/// Steps that the cost estimate of a check on the caller's thread may take.
const INLINE_STEPS: u64 = 4_000;
/// Steps that a check on the caller's thread may cost: about a millisecond.
const INLINE_COST: u64 = 20_000;
/// Nested subschemas that the stack of a caller's thread has room for.
const INLINE_HEIGHT: u32 = 48;
/// Steps that the cost estimate of any check may take.
const MAX_STEPS: u64 = 4_000_000;
/// Steps that any check may cost: about a second.
const MAX_COST: u64 = 20_000_000;
/// Steps up to which violations are collected. Each violation may take some hundred bytes.
const MAX_EXPLAINED: u64 = 500_000;
/// Compiled sizes of a pattern in bytes, each with the steps per byte of text. The last size is the limit for a
/// pattern.
const PATTERN_SIZES: [(usize, u64); 4] = [(8 << 10, 1), (32 << 10, 8), (96 << 10, 32), (256 << 10, 128)];
/// Bytes of the lazy DFA of one pattern.
const PATTERN_CACHE: usize = 128 << 10;

/// A compiled schema that is within the bounds.
pub struct Schema {
    validator: Validator,
    graph: Graph,
    /// Approximate memory use in bytes.
    pub memory_bytes: u32,
}

fn patterns(size: usize) -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(size).dfa_size_limit(PATTERN_CACHE)
}

/// Returns the steps for each byte of text that a pattern is matched against.
fn weigh(pattern: &str) -> Result<u64, String> {
    let fits = |size: usize| {
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns(size))
            .build(&json!({ "pattern": pattern }))
            .is_ok()
    };
    PATTERN_SIZES.iter().find(|(size, _)| fits(*size)).map(|(_, weight)| *weight).ok_or_else(|| {
        "is not a regular expression that runs in linear time: look-around and back-references are not supported, and \
         counted repetitions must stay small"
            .to_owned()
    })
}

impl Schema {
    /// Checks a schema's bounds and compiles it. A schema may refer only to its own parts, and its patterns run in
    /// linear time. This needs a deep stack and takes up to a few hundred milliseconds.
    ///
    /// # Errors
    /// `invalid-manifest` that names the problem.
    pub fn new(schema: &Value) -> Result<Self> {
        let bad = |problem: String| {
            Error::new(Code::InvalidManifest, format!("params: {problem}")).hint(
                "write a JSON Schema (2020-12) that refers to nothing outside itself; docs/limits.md lists its bounds",
            )
        };
        let mut pattern_bytes = 0;
        let mut weigh = |pattern: &str| {
            let weight = weigh(pattern)?;
            let size = PATTERN_SIZES.iter().find(|(_, w)| *w == weight).map_or(0, |(size, _)| *size);
            pattern_bytes += size + PATTERN_CACHE;
            Ok(weight)
        };
        let graph = Graph::new(schema, &mut weigh).map_err(bad)?;
        let (largest, _) = PATTERN_SIZES.last().copied().unwrap_or_default();
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns(largest))
            .build(schema)
            .map_err(|e| bad(format!("at `{}`: {}", e.instance_path(), Truncated::of(&e))))?;
        let memory = graph.len() * 1024 + pattern_bytes + 4096;
        Ok(Self { validator, graph, memory_bytes: u32::try_from(memory).unwrap_or(u32::MAX) })
    }

    /// Checks parameters if the check is known to take about a millisecond at most; else returns `None`.
    pub fn check_inline(&self, params: &Value) -> Option<Result<()>> {
        let cost = self.graph.cost(params, INLINE_STEPS)?;
        let cheap = total(cost) <= INLINE_COST && cost.height <= INLINE_HEIGHT;
        cheap.then(|| self.verdict(params, cost))
    }

    /// Checks parameters. This needs a deep stack and takes up to a few seconds.
    ///
    /// # Errors
    /// `invalid-params` that names the path and the problem of each violation, the first 20 of them; also if the check
    /// would cost too much.
    pub fn check(&self, params: &Value) -> Result<()> {
        match self.graph.cost(params, MAX_STEPS) {
            Some(cost) if total(cost) <= MAX_COST => self.verdict(params, cost),
            _ => Err(Error::new(
                Code::InvalidParams,
                format!(
                    "checking these parameters against the function's schema would take more than {MAX_COST} steps"
                ),
            )
            .hint(
                "pass fewer or less deeply nested parameters, or simplify `anyOf`, `oneOf` and recursion in the schema",
            )),
        }
    }

    fn verdict(&self, params: &Value, cost: SchemaCost) -> Result<()> {
        if self.validator.is_valid(params) {
            return Ok(());
        }
        let problem = if cost.errors <= MAX_EXPLAINED {
            let mut found = String::new();
            for (at, error) in self.validator.iter_errors(params).take(MAX_VIOLATIONS).enumerate() {
                let path = error.instance_path().to_string();
                let path = if path.is_empty() { "/" } else { &path };
                let separator = if at == 0 { "" } else { "; " };
                let _ = write!(found, "{separator}`{}`: {}", Truncated::of(path), Truncated::of(&error));
            }
            found
        } else {
            "they are too large to list the violations".to_owned()
        };
        Err(Error::new(Code::InvalidParams, format!("the parameters do not fit the function's schema: {problem}"))
            .hint("`fabric functions show NAME` shows the schema"))
    }
}

fn total(cost: SchemaCost) -> u64 {
    cost.verdict.saturating_add(cost.errors)
}

/// The first characters of a text that may be as long as the parameters. Writing stops at the limit.
struct Truncated {
    text: String,
    left: usize,
}

impl Truncated {
    fn of(text: impl fmt::Display) -> String {
        let mut short = Self { text: String::new(), left: MAX_TEXT };
        // An error only means that the rest was left out.
        let _ = write!(short, "{text}");
        short.text
    }
}

impl fmt::Write for Truncated {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_run_in_linear_time_or_are_refused() {
        for (pattern, weight) in [("^[a-z]+$", Some(1)), ("^\\d{4}-\\d{2}$", Some(1)), ("(a*)*$", Some(1))] {
            assert_eq!(weigh(pattern).ok(), weight, "{pattern}");
        }
        for pattern in ["(?=a)b", "(?<!a)b", "(a)\\1", "(", "((a{100}){100}){100}", "\\p{L}{1000}"] {
            let refused = Schema::new(&json!({ "pattern": pattern })).err().unwrap();
            assert_eq!(refused.code(), Code::InvalidManifest);
            assert!(refused.to_string().contains("linear time"), "{refused}");
        }
    }

    #[test]
    fn a_violation_names_the_path_and_the_problem_and_stays_short() {
        let schema =
            Schema::new(&json!({"properties": {"n": {"type": "integer"}, "s": {"enum": ["a"]}}})).ok().unwrap();
        let params = json!({"n": "x".repeat(1_000_000), "s": "b"});
        let wrong = schema.check(&params).unwrap_err().to_string();
        assert!(wrong.contains("`/n`: \"xxx") && wrong.contains("`/s`: \"b\" is not"), "{wrong}");
        assert!(wrong.len() < 1000, "{}", wrong.len());
        assert!(schema.check_inline(&json!({"n": 1, "s": "a"})).unwrap().is_ok());
        assert!(schema.check_inline(&json!({"n": (0..100_000).collect::<Vec<_>>()})).is_none());
    }

    #[test]
    fn a_check_that_costs_too_much_is_refused_before_it_begins() {
        let schema = json!({"anyOf": [
            {"type": "number"},
            {"properties": {"op": {"const": "a"}, "l": {"$ref": "#"}}, "required": ["op"]},
            {"properties": {"op": {"const": "b"}, "l": {"$ref": "#"}}, "required": ["op"]}
        ]});
        let schema = Schema::new(&schema).ok().unwrap();
        let params = (0..60).fold(json!(1), |inner, _| json!({"l": inner}));
        assert!(schema.check_inline(&params).is_none());
        let refused = schema.check(&params).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidParams);
        assert!(refused.to_string().contains("steps"), "{refused}");
    }
}
