//! The cost estimate for one value: every subschema at every place of the value, each pair computed once.

use super::{BYTES_PER_STEP, Graph, MAX_HEIGHT};
use serde_json::Value;
use std::collections::HashMap;

impl Graph {
    /// Returns the cost of checking `value`. `None` if the estimate needs more than `steps` steps, or if subschemas
    /// nest too deeply.
    pub fn cost(&self, value: &Value, steps: u64) -> Option<SchemaCost> {
        let mut estimate = Estimate { graph: self, places: Vec::new(), known: HashMap::new(), steps };
        let root = estimate.place(value)?;
        estimate.pair(0, root, 0)
    }
}

/// An upper bound of the cost of one subschema at one place, in steps. A step is about one subschema evaluated or one
/// item examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaCost {
    /// Steps to decide if the value is valid.
    pub verdict: u64,
    /// Steps to find the parts that `unevaluatedProperties` and `unevaluatedItems` apply to.
    marks: u64,
    /// Steps to collect the violations.
    pub errors: u64,
    /// Nesting depth of subschemas.
    pub height: u32,
}

enum Kind {
    Object,
    Array,
    Text,
    Other,
}

/// A place in the value.
struct ValueNode<'a> {
    kind: Kind,
    children: Vec<(&'a str, usize)>,
    /// Bytes of the text.
    bytes: u64,
    /// Places from here down, and steps to read their text.
    size: u64,
}

struct Estimate<'a> {
    graph: &'a Graph,
    places: Vec<ValueNode<'a>>,
    known: HashMap<(usize, usize), SchemaCost>,
    steps: u64,
}

impl<'a> Estimate<'a> {
    fn step(&mut self, count: u64) -> Option<()> {
        self.steps = self.steps.checked_sub(count)?;
        Some(())
    }

    fn text(&mut self, bytes: usize) -> usize {
        let bytes = bytes as u64;
        self.places.push(ValueNode { kind: Kind::Text, children: Vec::new(), bytes, size: 1 + bytes / BYTES_PER_STEP });
        self.places.len() - 1
    }

    /// Splits the value into places.
    fn place(&mut self, value: &'a Value) -> Option<usize> {
        self.step(1)?;
        let (kind, children) = match value {
            Value::String(text) => return Some(self.text(text.len())),
            Value::Object(map) => {
                let mut children = Vec::with_capacity(map.len());
                for (name, value) in map {
                    children.push((name.as_str(), self.place(value)?));
                }
                (Kind::Object, children)
            }
            Value::Array(items) => {
                let mut children = Vec::with_capacity(items.len());
                for value in items {
                    children.push(("", self.place(value)?));
                }
                (Kind::Array, children)
            }
            _ => (Kind::Other, Vec::new()),
        };
        let below = children.iter().map(|(name, n)| {
            self.places.get(*n).map_or(0, |p| p.size).saturating_add(name.len() as u64 / BYTES_PER_STEP)
        });
        let size = below.fold(1, u64::saturating_add);
        self.places.push(ValueNode { kind, children, bytes: 0, size });
        Some(self.places.len() - 1)
    }

    /// Returns the cost of a subschema at a place.
    fn pair(&mut self, schema: usize, place: usize, depth: u32) -> Option<SchemaCost> {
        if let Some(known) = self.known.get(&(schema, place)) {
            return Some(*known);
        }
        if depth >= MAX_HEIGHT {
            return None;
        }
        self.step(1)?;
        let graph = self.graph;
        let rule = graph.schemas.get(schema)?;
        let here = self.places.get(place)?;
        let count = here.children.len() as u64;
        let mut own = rule.own_cost;
        match here.kind {
            Kind::Text => {
                own = own.saturating_add(here.bytes / BYTES_PER_STEP + here.bytes.saturating_mul(rule.pattern))
            }
            Kind::Object => {
                let names = here.children.iter().map(|(name, _)| 1 + name.len() as u64).fold(0, u64::saturating_add);
                own = own.saturating_add(count).saturating_add(names.saturating_mul(rule.name_pattern));
            }
            // Few items are compared with each other, many are hashed.
            Kind::Array if rule.unique => {
                own = own.saturating_add(here.size.saturating_mul(if count <= 16 { 16 } else { 3 }))
            }
            Kind::Array => own = own.saturating_add(count),
            Kind::Other => {}
        }
        let mut total = SchemaCost { verdict: own, marks: count.saturating_add(1), errors: own, height: 0 };
        for (needed, to) in &rule.in_place {
            if needed.as_ref().is_some_and(|name| !self.has(place, name)) {
                continue;
            }
            let below = self.pair(*to, place, depth + 1)?;
            self.step(1)?;
            total.verdict = total.verdict.saturating_add(below.verdict);
            // The verdict of each is computed again before its own marks and errors are collected.
            total.marks = total.marks.saturating_add(below.verdict).saturating_add(below.marks);
            total.errors = total.errors.saturating_add(below.verdict).saturating_add(below.errors);
            total.height = total.height.max(below.height);
        }
        let mut unevaluated = 0_u64;
        for (to, child) in self.below(schema, place)? {
            let below = self.pair(to, child, depth + 1)?;
            self.step(1)?;
            total.verdict = total.verdict.saturating_add(below.verdict);
            total.errors = total.errors.saturating_add(below.verdict).saturating_add(below.errors);
            unevaluated = unevaluated.saturating_add(below.verdict);
            total.height = total.height.max(below.height);
        }
        if rule.unevaluated {
            total.marks = total.marks.saturating_add(unevaluated);
            total.verdict = total.verdict.saturating_add(total.marks);
            total.errors = total.errors.saturating_add(total.marks);
        }
        total.height += 1;
        self.known.insert((schema, place), total);
        Some(total)
    }

    fn has(&self, place: usize, name: &str) -> bool {
        self.places.get(place).is_some_and(|p| p.children.iter().any(|(n, _)| *n == name))
    }

    /// Returns the subschemas that apply to the parts of a value, each with its part.
    fn below(&mut self, schema: usize, place: usize) -> Option<Vec<(usize, usize)>> {
        let rule = self.graph.schemas.get(schema)?;
        let children = self.places.get(place)?.children.clone();
        let mut pairs = Vec::new();
        match self.places.get(place)?.kind {
            Kind::Object => {
                for (name, child) in children {
                    let named = rule.properties.get(name);
                    pairs.extend(named.map(|to| (*to, child)));
                    if named.is_none() {
                        pairs.extend(rule.other_properties.map(|to| (to, child)));
                    }
                    self.step(rule.every_property.len() as u64)?;
                    pairs.extend(rule.every_property.iter().map(|to| (*to, child)));
                    if let Some(to) = rule.names {
                        self.step(1)?;
                        pairs.push((to, self.text(name.len())));
                    }
                }
            }
            Kind::Array => {
                for (at, (_, child)) in children.into_iter().enumerate() {
                    match rule.prefix.get(at) {
                        Some(to) => pairs.push((*to, child)),
                        None => pairs.extend(rule.rest.map(|to| (to, child))),
                    }
                    self.step(rule.every_item.len() as u64)?;
                    pairs.extend(rule.every_item.iter().map(|to| (*to, child)));
                }
            }
            Kind::Text | Kind::Other => {}
        }
        Some(pairs)
    }
}
