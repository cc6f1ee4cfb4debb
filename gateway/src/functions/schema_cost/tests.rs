use super::*;
use serde_json::{Value, json};

fn graph(schema: &Value) -> Result<Graph, String> {
    Graph::new(schema, &mut |_| Ok(1))
}

/// Returns `$defs` in which each level is `step` of the next one, down to a string.
fn tower(levels: usize, step: impl Fn(Value) -> Value) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = if level + 1 == levels {
            json!({"type": "string"})
        } else {
            step(json!({"$ref": format!("#/$defs/l{}", level + 1)}))
        };
        defs.insert(format!("l{level}"), next);
    }
    json!({"$ref": "#/$defs/l0", "$defs": defs})
}

#[test]
fn combinators_that_multiply_are_refused() {
    for step in [
        (|r: Value| json!({"anyOf": [r.clone(), r]})) as fn(Value) -> Value,
        |r| json!({"allOf": [r.clone(), r]}),
        |r| json!({"oneOf": [r.clone(), r]}),
        |r| json!({"not": r.clone(), "allOf": [r]}),
        |r| json!({"if": r.clone(), "then": r.clone(), "else": r}),
        |r| json!({"dependentSchemas": {"a": r.clone(), "b": r}}),
        |r| json!({"dependencies": {"a": r.clone(), "b": r}}),
        |r| json!({"$ref": r["$ref"], "anyOf": [r]}),
    ] {
        let refused = graph(&tower(22, step)).unwrap_err();
        assert!(refused.contains("multiply"), "{refused}");
        graph(&tower(5, step)).unwrap();
    }
    let refused = graph(&tower(22, |r| json!({"items": r.clone(), "contains": r}))).unwrap_err();
    assert!(refused.contains("every reference is followed"), "{refused}");
    // Twenty-two plain levels are accepted.
    for step in [(|r: Value| json!({"items": r})) as fn(Value) -> Value, |r| json!({"properties": {"a": r}})] {
        graph(&tower(22, step)).unwrap();
    }
}

#[test]
fn references_stay_inside_and_descend() {
    for (schema, problem) in [
        (json!({"$ref": "https://example.com/x"}), "leaves the schema"),
        (json!({"$ref": "other.json#/x"}), "leaves the schema"),
        (json!({"items": {"$dynamicRef": "x#a"}}), "leaves the schema"),
        (json!({"$ref": "#/$defs/x"}), "does not resolve"),
        (json!({"$ref": "#nowhere"}), "does not resolve"),
        (json!({"$ref": "#"}), "leads back to itself"),
        (json!({"anyOf": [{"$ref": "#"}]}), "leads back to itself"),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            "leads back",
        ),
        (json!({"items": {"$id": "x"}}), "`$id` is inside"),
        (json!({"items": [{"$anchor": "a"}, {"$anchor": "a"}]}), "twice"),
    ] {
        let refused = graph(&schema).unwrap_err();
        assert!(refused.contains(problem), "{schema}: {refused}");
    }
    for schema in [
        json!({"$id": "https://example.com/x", "properties": {"next": {"$ref": "#"}}}),
        json!({"items": {"$ref": "#/$defs/a%20b"}, "$defs": {"a b": {"items": {"$ref": "#/$defs/a%20b"}}}}),
        json!({"items": {"$dynamicRef": "#node"}, "$dynamicAnchor": "node"}),
        json!({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}),
    ] {
        graph(&schema).unwrap();
    }
}

#[test]
fn size_depth_and_patterns_have_bounds() {
    let deep = (0..MAX_DEPTH).fold(json!(true), |inner, _| json!({"not": inner}));
    assert!(graph(&deep).unwrap_err().contains("levels deep"));
    let long = json!({"enum": ["x".repeat(MAX_BYTES)]});
    assert!(graph(&long).unwrap_err().contains("bytes, more than"));
    let many: Vec<_> = (0..=MAX_SUBSCHEMAS).map(|_| json!(true)).collect();
    assert!(graph(&json!({"prefixItems": many})).unwrap_err().contains("subschemas"));
    let patterns: serde_json::Map<_, _> = (0..1000).map(|n| (format!("^p{n}"), json!(true))).collect();
    assert!(graph(&json!({"patternProperties": patterns})).unwrap_err().contains("different patterns"));
    assert!(graph(&json!({"pattern": "a".repeat(MAX_PATTERN_BYTES + 1)})).unwrap_err().contains("bytes, more than"));
    let refused = Graph::new(&json!({"pattern": "(?=a)"}), &mut |_| Err("looks around".to_owned())).unwrap_err();
    assert_eq!(refused, "the pattern `(?=a)` looks around");
    let chain = tower(1_100, |r| json!({"items": r}));
    assert!(graph(&chain).unwrap_err().contains("inside each other"));
}

fn cost(schema: &Value, value: &Value) -> u64 {
    graph(schema).unwrap().cost(value, 10_000_000).map_or(u64::MAX, |c| c.verdict.saturating_add(c.errors))
}

#[test]
fn recursion_that_branches_costs_by_the_depth_of_the_value() {
    let schema = json!({"anyOf": [
        {"type": "number"},
        {"properties": {"op": {"const": "a"}, "l": {"$ref": "#"}}},
        {"properties": {"op": {"const": "b"}, "l": {"$ref": "#"}}}
    ]});
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({"op": "c", "l": inner}));
    let (flat, some, deep) = (cost(&schema, &json!(1)), cost(&schema, &nested(8)), cost(&schema, &nested(40)));
    assert!(flat < 100 && some > 1_000 && some < 5_000_000 && deep > 1 << 40, "{flat} {some} {deep}");
}

#[test]
fn plain_schemas_cost_by_the_size_of_the_value() {
    let schema = json!({"properties": {"list": {"items": {"type": "number"}, "uniqueItems": true}}});
    let of = |n: usize| cost(&schema, &json!({"list": (0..n).collect::<Vec<_>>()}));
    assert!(of(10_000) < 400_000 && of(10_000) > of(1_000) * 9 && of(10_000) < of(1_000) * 11);
    let pattern = json!({"pattern": "^a"});
    assert!(cost(&pattern, &json!("a".repeat(1_000_000))) >= 1_000_000);
}

#[test]
fn unevaluated_properties_inside_each_other_are_counted_again_and_again() {
    let schema = (0..30).fold(json!({"type": "string"}), |inner, _| json!({"unevaluatedProperties": inner}));
    let value = (0..30).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(cost(&schema, &value) > 1 << 20);
}

#[test]
fn an_estimate_stops_where_its_own_steps_end() {
    let schema = json!({"items": {"anyOf": [{"type": "number"}, {"type": "string"}]}});
    let value = json!((0..1000).collect::<Vec<_>>());
    assert!(graph(&schema).unwrap().cost(&value, 100).is_none());
    let recursive = json!({"items": {"$ref": "#"}});
    let deep = (0..500).fold(json!([]), |inner, _| json!([inner]));
    assert!(graph(&recursive).unwrap().cost(&deep, 1_000_000).is_none(), "deeper than the highest stack");
}
