//! Schemas and parameters. An input is a schema, optionally followed by a zero byte and a value to validate against it.

use fabric_fuzz::fuzz;
use fabric_gateway::functions::params::Schema;
use serde_json::{Value, json};

#[test]
fn schemas() {
    let seed = |schema: Value, value: Value| format!("{schema}\0{value}").into_bytes();
    let seeds = [
        seed(
            json!({"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"items": {"$ref": "#"}}}, "required": ["a"],
                "$defs": {"x": {"anyOf": [{"type": "integer", "minimum": 1}, {"pattern": "^a+$"}]}}}),
            json!({"a": "b", "b": [{"a": 1}]}),
        ),
        seed(
            json!({"allOf": [{"if": {"const": 1}, "then": {"enum": [1]}, "else": {"not": {"type": "null"}}}],
                "unevaluatedProperties": {"type": "string"}, "patternProperties": {"^x": true}, "propertyNames": {"maxLength": 3}}),
            json!({"x": 1, "long": "y"}),
        ),
        seed(
            json!({"prefixItems": [{"oneOf": [{"multipleOf": 0.1}, {"type": "number"}]}], "contains": {"const": 2},
                "uniqueItems": true, "unevaluatedItems": false, "dependentSchemas": {"a": {"$anchor": "n"}}, "items": {"$ref": "#n"}}),
            json!([0.3, 2, 2]),
        ),
    ];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("schemas", &seeds, |input| {
        let mut parts = input.splitn(2, |b| *b == 0);
        let schema = parts.next().unwrap_or_default();
        let Ok(schema) = serde_json::from_slice::<Value>(schema) else { return };
        let Ok(compiled) = Schema::new(&schema) else { return };
        let value = parts.next().and_then(|v| serde_json::from_slice::<Value>(v).ok()).unwrap_or(schema);
        let full = compiled.check(&value);
        if let Some(quick) = compiled.check_inline(&value) {
            assert_eq!(quick.is_ok(), full.is_ok());
        }
    });
}
