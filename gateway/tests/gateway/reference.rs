//! `docs/manifest.md` and `docs/job-spec.md`, generated from the types that manifests and job specs are parsed into.
//! The test fails if a file is outdated; run it with `FABRIC_BLESS=1` to write it.

use serde_json::Value;
use std::fmt::Write as _;

fn schemas() -> Value {
    let document: Value =
        serde_json::from_str(&fabric_gateway::routes::openapi::document().to_json().unwrap()).unwrap();
    document["components"]["schemas"].clone()
}

/// Returns text for a table cell: one line, with the cell separator escaped.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Returns the schema that a reference leads to.
fn followed<'a>(schemas: &'a Value, schema: &'a Value) -> &'a Value {
    let inner =
        schema["oneOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(schema);
    let name = inner["$ref"].as_str().and_then(|to| to.rsplit('/').next());
    name.map_or(inner, |name| &schemas[name])
}

/// Returns the type of a value in words.
fn kind(schemas: &Value, schema: &Value) -> String {
    let of = followed(schemas, schema);
    let types: Vec<&str> = match &of["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        Value::String(one) => vec![one.as_str()],
        _ => Vec::new(),
    };
    match types.as_slice() {
        ["string"] => match of["enum"].as_array() {
            Some(values) => values.iter().map(|v| format!("`{}`", v.as_str().unwrap())).collect::<Vec<_>>().join(", "),
            None => "text".to_owned(),
        },
        ["integer"] => "whole number".to_owned(),
        ["number"] => "number".to_owned(),
        ["boolean"] => "`true` or `false`".to_owned(),
        ["array"] => {
            let item = kind(schemas, &of["items"]);
            if item == "text" { "list of texts".to_owned() } else { format!("list of: {item}") }
        }
        _ if of["oneOf"].is_array() => {
            let values: Vec<_> =
                of["oneOf"].as_array().unwrap().iter().flat_map(|one| one["enum"].as_array()).flatten().collect();
            if values.is_empty() {
                "one of the forms below".to_owned()
            } else {
                values.iter().map(|v| format!("`{}`", v.as_str().unwrap())).collect::<Vec<_>>().join(", ")
            }
        }
        _ => "table".to_owned(),
    }
}

/// Returns the type of a key's value. Sizes and fuel also accept text.
fn kind_of(schemas: &Value, key: &str, schema: &Value) -> String {
    match key {
        _ if key.ends_with("-bytes") => "size".to_owned(),
        "fuel" | "budget-fuel" => "number or text".to_owned(),
        _ => kind(schemas, schema),
    }
}

/// Appends the rows of one table: key, type, meaning.
fn rows(text: &mut String, schemas: &Value, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    *text += "| key | value | meaning |\n|---|---|---|\n";
    // In the order of the type, which OpenAPI preserves.
    for (key, value) in schema["properties"].as_object().unwrap() {
        let described = value["description"].as_str().or_else(|| followed(schemas, value)["description"].as_str());
        let needed = if required.contains(&key.as_str()) { " (required)" } else { "" };
        let _ = writeln!(
            text,
            "| `{key}`{needed} | {} | {} |",
            kind_of(schemas, key, value),
            cell(described.unwrap_or_default())
        );
    }
    text.push('\n');
}

fn section(text: &mut String, schemas: &Value, title: &str, name: &str) {
    let schema = &schemas[name];
    assert!(schema.is_object(), "no schema {name}");
    let _ = writeln!(
        text,
        "## {title}\n\n{}\n",
        schema["description"]
            .as_str()
            .unwrap_or_default()
            .replace("\n\n", "\n")
            .replace("[`Policy`](crate::policy::Policy)", "[operations](operations.md#limits-grants-and-memory)")
            .trim()
    );
    rows(text, schemas, schema);
}

const MADE: &str = "<!-- Generated from the types by a test; see gateway/tests/gateway/reference.rs. -->";

fn manifest() -> String {
    let schemas = schemas();
    let mut text = format!(
        "# The manifest, `fabric.toml`\n\n{MADE}\n\n\
         A project's manifest names its function and sets its limits, grants and resources. Only `function.name` is required. Unknown keys are\n\
         refused. Over REST a manifest is JSON of the same shape. Sizes are bytes, or texts such as `\"64KiB\"`, `\"16MiB\"`, `\"2GiB\"`; \
         `\"64MB\"` is decimal, 64,000,000 bytes, and `\"64M\"` is short for `\"64MiB\"`.\n\n\
         ```toml\n[function]\nname = \"weather\"\ndescription = \"Means by month\"\n\n[build]\ncommand = \"cargo build --release --target wasm32-wasip2\"\n\
         module = \"target/wasm32-wasip2/release/weather.wasm\"\n\n[limits]\nfuel = \"10G\"\nmemory-bytes = \"64MiB\"\n\n[grants]\nnetwork = [\"api.example.org\"]\n\n\
         [resources.node-selector]\nzone = \"a\"\n```\n\n"
    );
    for (title, name) in [
        ("`[function]`", "FunctionSection"),
        ("`[build]`", "BuildSection"),
        ("`[limits]`", "Limits"),
        ("`[grants]`", "Grants"),
        ("`[[grants.volumes]]`", "VolumeGrant"),
        ("`[resources]`", "Resources"),
    ] {
        section(&mut text, &schemas, title, name);
    }
    let params = schemas["Manifest"]["properties"]["params"]["description"].as_str().unwrap();
    let _ = write!(text, "## `[params]`\n\n{params} [Its bounds](limits.md).\n");
    text
}

fn job_spec() -> String {
    let schemas = schemas();
    let mut text = format!(
        "# The job spec\n\n{MADE}\n\n\
         A job spec names a function and the data set to map it over. `fabric run --spec FILE` takes it as YAML or JSON, `POST /v1/jobs` too (YAML as\n\
         `Content-Type: application/yaml`). `function` and `input` are required. Unknown keys are refused.\n\n\
         ```yaml\nfunction: weather:live\ninput:\n  objects: {{path: data/, split: \"csv:1MiB\"}}\nreduce: {{fan-in: 16}}\n\
         budget-fuel: 10G\ntags: [nightly]\n```\n\n"
    );
    section(&mut text, &schemas, "Keys", "JobSpec");
    text += "## `input`\n\nOne of two forms:\n\n";
    for form in schemas["InputSpec"]["oneOf"].as_array().unwrap() {
        let (key, value) = form["properties"].as_object().unwrap().iter().next().unwrap();
        let described = form["description"].as_str().or_else(|| value["description"].as_str()).unwrap_or_default();
        let _ = writeln!(text, "### `{key}`\n\n{}\n", described.trim());
        if value["properties"].is_object() {
            rows(&mut text, &schemas, value);
        }
    }
    text += "`split` is one of `object`, `lines:SIZE`, `records:N[:SIZE]`, `csv:SIZE[:DELIMITER]`, `parquet`, `items`; see\n\
             [data sets](data-sets.md).\n\n";
    section(&mut text, &schemas, "`reduce`", "ReduceSpec");
    section(&mut text, &schemas, "`shuffle`", "ShuffleSpec");
    text.trim_end().to_owned() + "\n"
}

#[test]
fn the_references_are_what_the_types_say() {
    for (file, expected) in [("manifest.md", manifest()), ("job-spec.md", job_spec())] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
        if std::env::var_os("FABRIC_BLESS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/{file} is behind: run FABRIC_BLESS=1 cargo test -p fabric-gateway the_references"
        );
    }
}
