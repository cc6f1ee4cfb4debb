//! The cost of checking a value against a JSON Schema, estimated before the evaluation.
//!
//! [`Graph::new`] reads a schema at deployment and refuses a schema without bounds. [`Graph::cost`] adds up, for one
//! value, every subschema that a validator may have to evaluate at every place of the value, without short cuts. Each
//! pair of subschema and place is computed once, so the estimate is cheap even if the evaluation would be exponential.

mod components;
mod estimate;
#[cfg(test)]
mod tests;

pub use estimate::SchemaCost;

use components::{components, path_counts};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Maximum bytes of a schema, as compact JSON.
pub const MAX_BYTES: usize = 256 * 1024;
/// Maximum nesting depth of the schema's JSON.
pub const MAX_DEPTH: usize = 64;
/// Maximum subschemas.
pub const MAX_SUBSCHEMAS: usize = 10_000;
/// Maximum subschemas that one value may have to be checked against, by `$ref`, `allOf`, `anyOf` and the like.
pub const MAX_BRANCHES: u64 = 1_000;
/// Maximum subschemas of a schema without recursion, counted once per path.
pub const MAX_EXPANDED: u64 = 1_000_000;
/// Maximum subschemas on the longest path through the schema.
pub const MAX_CHAIN: u64 = 1_000;
/// Maximum different regular expressions.
pub const MAX_PATTERNS: usize = 256;
/// Maximum bytes of one regular expression.
pub const MAX_PATTERN_BYTES: usize = 1_024;
/// Maximum nesting depth of subschemas in one check.
pub const MAX_HEIGHT: u32 = 256;

/// Bytes of text that count as one step where text is only compared or measured.
const BYTES_PER_STEP: u64 = 64;

/// Keywords whose value lists subschemas for the same value.
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords whose value is a subschema for the same value.
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose value names a subschema for the same value.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose value is compared with the value.
const DATA: [&str; 4] = ["enum", "const", "required", "dependentRequired"];

/// A function that returns the steps per byte of text for a pattern, or the problem with the pattern.
pub type WeighPattern<'a> = &'a mut dyn FnMut(&str) -> Result<u64, String>;

/// A subschema and the subschemas that it leads to.
#[derive(Debug, Default)]
struct Schema {
    /// Steps of one evaluation, independent of the value.
    own_cost: u64,
    /// Steps for each byte of a text.
    pattern: u64,
    /// Steps for each byte of a property's name.
    name_pattern: u64,
    unique: bool,
    unevaluated: bool,
    /// Subschemas for the same value. One with a name applies only to a value with that property.
    in_place: Vec<(Option<String>, usize)>,
    properties: BTreeMap<String, usize>,
    every_property: Vec<usize>,
    other_properties: Option<usize>,
    names: Option<usize>,
    prefix: Vec<usize>,
    rest: Option<usize>,
    every_item: Vec<usize>,
}

impl Schema {
    fn children(&self) -> impl Iterator<Item = usize> {
        self.properties
            .values()
            .chain(&self.every_property)
            .chain(&self.other_properties)
            .chain(&self.names)
            .chain(&self.prefix)
            .chain(&self.rest)
            .chain(&self.every_item)
            .copied()
    }
}

/// The subschemas of a schema that is within the bounds.
#[derive(Debug)]
pub struct Graph {
    schemas: Vec<Schema>,
}

/// A reader of a schema.
struct Reader<'a, 'w> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
    /// Numbers of subschemas by their address in the document.
    numbers: HashMap<usize, usize>,
    todo: Vec<(usize, &'a Value)>,
    schemas: Vec<Schema>,
    patterns: HashMap<&'a str, u64>,
    weigh: WeighPattern<'w>,
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Returns the nesting depth, at most one more than `most`.
fn depth(value: &Value, most: usize) -> usize {
    let below = match value {
        Value::Array(items) if most > 0 => items.iter().map(|v| depth(v, most - 1)).max().unwrap_or(0),
        Value::Object(map) if most > 0 => map.values().map(|v| depth(v, most - 1)).max().unwrap_or(0),
        _ => 0,
    };
    below + 1
}

/// Returns the steps to compare a value with this one.
fn comparison(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / BYTES_PER_STEP,
        Value::Array(items) => items.iter().map(comparison).fold(1, u64::saturating_add),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| comparison(value).saturating_add(name.len() as u64 / BYTES_PER_STEP))
            .fold(1, u64::saturating_add),
        _ => 1,
    }
}

/// Decodes the percent-encoding of a fragment.
fn percent_decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl<'a> Reader<'a, '_> {
    /// Returns the number of a subschema, and queues a new one for reading.
    fn number(&mut self, value: &'a Value) -> Result<usize, String> {
        let address = std::ptr::from_ref(value).addr();
        if let Some(number) = self.numbers.get(&address) {
            return Ok(*number);
        }
        let number = self.schemas.len();
        if number >= MAX_SUBSCHEMAS {
            return Err(format!("the schema has more than {MAX_SUBSCHEMAS} subschemas"));
        }
        self.schemas.push(Schema::default());
        self.numbers.insert(address, number);
        self.todo.push((number, value));
        Ok(number)
    }

    /// Returns the number of the subschema that a reference names.
    fn target(&mut self, reference: &str) -> Result<usize, String> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err(format!("`$ref` to `{}` leaves the schema", cut(reference)));
        };
        let missing = || format!("`$ref` to `{}` does not resolve", cut(reference));
        let fragment = percent_decoded(fragment).ok_or_else(missing)?;
        let found = if fragment.is_empty() || fragment.starts_with('/') {
            self.root.pointer(&fragment)
        } else {
            self.anchors.get(fragment.as_str()).copied()
        };
        self.number(found.ok_or_else(missing)?)
    }

    /// Collects anchors, and refuses keywords that would change the address of a part of the schema.
    fn anchors(&mut self, value: &'a Value, is_root: bool) -> Result<(), String> {
        match value {
            Value::Object(map) => {
                for key in ["$id", "$schema", "$vocabulary"] {
                    if !is_root && map.get(key).is_some_and(Value::is_string) {
                        return Err(format!("`{key}` is inside the schema; it is allowed only at the top level"));
                    }
                }
                for key in ["$anchor", "$dynamicAnchor"] {
                    if let Some(Value::String(name)) = map.get(key)
                        && self.anchors.insert(name, value).is_some_and(|other| !std::ptr::eq(other, value))
                    {
                        return Err(format!("the anchor `{}` is defined twice", cut(name)));
                    }
                }
                map.values().try_for_each(|v| self.anchors(v, false))
            }
            Value::Array(items) => items.iter().try_for_each(|v| self.anchors(v, false)),
            _ => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &'a str) -> Result<u64, String> {
        if let Some(weight) = self.patterns.get(pattern) {
            return Ok(*weight);
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!(
                "the pattern `{}…` has {} bytes, more than {MAX_PATTERN_BYTES}",
                cut(pattern),
                pattern.len()
            ));
        }
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(format!("the schema has more than {MAX_PATTERNS} different patterns"));
        }
        let weight = (self.weigh)(pattern).map_err(|why| format!("the pattern `{}` {why}", cut(pattern)))?;
        self.patterns.insert(pattern, weight);
        Ok(weight)
    }

    fn numbers(&mut self, values: impl IntoIterator<Item = &'a Value>) -> Result<Vec<usize>, String> {
        values.into_iter().map(|v| self.number(v)).collect()
    }

    fn read(&mut self, value: &'a Value) -> Result<Schema, String> {
        let mut schema = Schema { own_cost: 1, ..Schema::default() };
        let Value::Object(map) = value else { return Ok(schema) };
        for (keyword, value) in map {
            schema.own_cost += 1;
            match (keyword.as_str(), value) {
                (list, Value::Array(items)) if IN_PLACE_LISTS.contains(&list) => {
                    let numbers = self.numbers(items)?;
                    schema.in_place.extend(numbers.into_iter().map(|n| (None, n)));
                }
                (one, _) if IN_PLACE.contains(&one) => schema.in_place.push((None, self.number(value)?)),
                (reference, Value::String(target)) if REFERENCES.contains(&reference) => {
                    schema.in_place.push((None, self.target(target)?));
                }
                ("dependentSchemas" | "dependencies", Value::Object(by_name)) => {
                    for (name, value) in by_name {
                        if value.is_array() {
                            schema.own_cost += comparison(value);
                        } else {
                            schema.in_place.push((Some(name.clone()), self.number(value)?));
                        }
                    }
                }
                ("properties", Value::Object(by_name)) => {
                    for (name, value) in by_name {
                        schema.own_cost += 1 + name.len() as u64 / BYTES_PER_STEP;
                        schema.properties.insert(name.clone(), self.number(value)?);
                    }
                }
                ("patternProperties", Value::Object(by_pattern)) => {
                    for (pattern, value) in by_pattern {
                        schema.name_pattern = schema.name_pattern.saturating_add(self.pattern(pattern)?);
                        schema.every_property.push(self.number(value)?);
                    }
                }
                ("additionalProperties", _) => schema.other_properties = Some(self.number(value)?),
                ("propertyNames", _) => schema.names = Some(self.number(value)?),
                ("unevaluatedProperties", _) => {
                    schema.unevaluated = true;
                    schema.every_property.push(self.number(value)?);
                }
                ("prefixItems", Value::Array(items)) => schema.prefix.extend(self.numbers(items)?),
                ("items", Value::Array(items)) => schema.prefix.extend(self.numbers(items)?),
                ("items", _) => schema.rest = Some(self.number(value)?),
                ("contains" | "additionalItems", _) => schema.every_item.push(self.number(value)?),
                ("unevaluatedItems", _) => {
                    schema.unevaluated = true;
                    schema.every_item.push(self.number(value)?);
                }
                ("pattern", Value::String(pattern)) => schema.pattern = self.pattern(pattern)?,
                ("uniqueItems", Value::Bool(true)) => schema.unique = true,
                // Not evaluated, but compiled if the rest of the schema refers to them.
                ("$defs" | "definitions", Value::Object(by_name)) => {
                    self.numbers(by_name.values())?;
                }
                (data, _) if DATA.contains(&data) => {
                    schema.own_cost = schema.own_cost.saturating_add(comparison(value))
                }
                _ => {}
            }
        }
        Ok(schema)
    }
}

impl Graph {
    /// Reads a schema and checks its bounds.
    ///
    /// # Errors
    /// A sentence that names the missing or exceeded bound.
    pub fn new(root: &Value, weigh: WeighPattern<'_>) -> Result<Self, String> {
        let bytes = serde_json::to_vec(root).map_or(usize::MAX, |b| b.len());
        if bytes > MAX_BYTES {
            return Err(format!("the schema has {bytes} bytes, more than {MAX_BYTES}"));
        }
        if depth(root, MAX_DEPTH) > MAX_DEPTH {
            return Err(format!("the schema is nested more than {MAX_DEPTH} levels deep"));
        }
        let mut reader = Reader {
            root,
            anchors: HashMap::new(),
            numbers: HashMap::new(),
            todo: Vec::new(),
            schemas: Vec::new(),
            patterns: HashMap::new(),
            weigh,
        };
        reader.anchors(root, true)?;
        reader.number(root)?;
        while let Some((number, value)) = reader.todo.pop() {
            let schema = reader.read(value)?;
            if let Some(place) = reader.schemas.get_mut(number) {
                *place = schema;
            }
        }
        let graph = Self { schemas: reader.schemas };
        graph.check()?;
        Ok(graph)
    }

    fn check(&self) -> Result<(), String> {
        let in_place: Vec<Vec<usize>> =
            self.schemas.iter().map(|s| s.in_place.iter().map(|(_, n)| *n).collect()).collect();
        let parts = components(&in_place);
        let branches = path_counts(&in_place, &parts);
        if branches.iter().any(Option::is_none) {
            return Err("a `$ref` leads back to itself without descending into the value".to_owned());
        }
        let most = branches.iter().flatten().max().copied().unwrap_or(0);
        if most > MAX_BRANCHES {
            return Err(format!(
                "one value would have to be checked against {most} subschemas, more than {MAX_BRANCHES}: `$ref`, `allOf`, \
                 `anyOf`, `oneOf`, `not`, `if` and `dependentSchemas` inside each other multiply"
            ));
        }
        let all: Vec<Vec<usize>> = in_place
            .into_iter()
            .zip(&self.schemas)
            .map(|(mut edges, schema)| {
                edges.extend(schema.children());
                edges
            })
            .collect();
        let parts = components(&all);
        let expanded = path_counts(&all, &parts).into_iter().flatten().max().unwrap_or(0);
        if expanded > MAX_EXPANDED {
            return Err(format!(
                "the schema has {expanded} subschemas when every reference is followed, more than {MAX_EXPANDED}"
            ));
        }
        let mut chain: Vec<u64> = vec![0; all.len()];
        for part in &parts {
            let below = part.iter().filter_map(|n| all.get(*n)).flatten().filter_map(|n| chain.get(*n).copied()).max();
            let length = below.unwrap_or(0).saturating_add(part.len() as u64);
            if length > MAX_CHAIN {
                return Err(format!("more than {MAX_CHAIN} subschemas lie inside each other, references followed"));
            }
            for node in part {
                chain.get_mut(*node).into_iter().for_each(|c| *c = length);
            }
        }
        Ok(())
    }

    /// Returns the number of subschemas.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }
}
