//! The OpenAPI document: complete, consistent with the access table, and changed on purpose only.

use fabric_gateway::access::TABLE;
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _};

fn document() -> Value {
    serde_json::from_str(&fabric_gateway::routes::openapi::document().to_json().unwrap()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    each.collect()
}

#[test]
fn every_route_is_in_the_document_and_has_an_access_rule() {
    let document = document();
    let described: BTreeSet<_> = operations(&document).into_iter().map(|(m, p, _)| (m, p)).collect();
    let ruled: BTreeSet<_> = TABLE.iter().map(|(m, p, _)| ((*m).to_owned(), p.replace("{*", "{"))).collect();
    assert_eq!(described, ruled);
    assert_eq!(ruled.len(), TABLE.len(), "no rule is there twice");
}

#[test]
fn operations_have_names_of_their_own_and_bytes_are_binary() {
    let document = document();
    let names: Vec<_> = operations(&document).iter().map(|(_, _, o)| o["operationId"].clone()).collect();
    let unique: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    let text = document.to_string();
    let bytes = text.matches("\"application/octet-stream\":{").count();
    let of_bytes = text.split("\"application/octet-stream\":").skip(1);
    let binary = of_bytes.filter(|rest| rest.split_once("}}").is_some_and(|(it, _)| it.contains("\"binary\"")));
    assert!(bytes > 2 && binary.count() == bytes, "{text}");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_can_fail() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(to) if key == "$ref" => {
                            found.insert(to.clone());
                        }
                        other => references(other, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in found {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
    }
    for (method, path, operation) in operations(&document) {
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
    }
}

/// Returns a short name for a schema.
fn name(schema: &Value) -> String {
    match (schema["$ref"].as_str(), schema["type"].as_str()) {
        (Some(to), _) => to.rsplit('/').next().unwrap().to_owned(),
        (_, Some("array")) => format!("[{}]", name(&schema["items"])),
        (_, Some(kind)) => kind.to_owned(),
        _ => "?".to_owned(),
    }
}

fn content(of: &Value) -> String {
    let kinds = of["content"].as_object().into_iter().flatten();
    kinds.map(|(kind, media)| format!("{kind} {}", name(&media["schema"]))).collect::<Vec<_>>().join(" | ")
}

/// Returns the properties of a schema, including those of schemas that it contains in the same object.
fn properties<'a>(document: &'a Value, schema: &'a Value) -> BTreeSet<&'a str> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(property, _)| property.as_str());
    let flat = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| {
        let part = part["$ref"].as_str().map_or(part, |to| document.pointer(to.trim_start_matches('#')).unwrap());
        properties(document, part)
    });
    own.chain(flat).collect()
}

#[test]
fn the_document_changes_on_purpose_only() {
    let document = document();
    let mut text = String::new();
    for (method, path, operation) in operations(&document) {
        writeln!(text, "{method} {path}").unwrap();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let needed = if parameter["required"] == true { "" } else { "?" };
            writeln!(text, "  {}: {}{needed}", parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap())
                .unwrap();
        }
        if operation.get("requestBody").is_some() {
            writeln!(text, "  body: {}", content(&operation["requestBody"])).unwrap();
        }
        for (status, response) in operation["responses"].as_object().unwrap().iter().filter(|(s, _)| *s != "default") {
            writeln!(text, "  {status}: {}", content(response)).unwrap();
        }
    }
    for (schema, shape) in document["components"]["schemas"].as_object().unwrap() {
        writeln!(text, "{schema}: {}", properties(&document, shape).into_iter().collect::<Vec<_>>().join(", "))
            .unwrap();
    }
    insta::assert_snapshot!(text);
}
