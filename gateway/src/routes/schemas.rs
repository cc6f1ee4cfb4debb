//! Routes of schemas: the OpenAPI document, and JSON Schemas of jobs and manifests for editors.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::{Value, json};
use utoipa::PartialSchema;

/// Returns a type's schema with everything that it refers to.
fn schema<T: utoipa::ToSchema + PartialSchema>() -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: serde_json::Map<String, Value> =
        parts.into_iter().filter_map(|(name, part)| Some((name, serde_json::to_value(part).ok()?))).collect();
    let mut whole = serde_json::to_value(T::schema()).unwrap_or_default();
    let mut defs = Value::Object(parts);
    relocate(&mut whole);
    relocate(&mut defs);
    if let Value::Object(map) = &mut whole {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("$defs".to_owned(), defs);
    }
    whole
}

/// Points references at `$defs` instead of an OpenAPI document's components.
fn relocate(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => *text = text.replace("#/components/schemas/", "#/$defs/"),
                    other => relocate(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relocate),
        _ => {}
    }
}

/// Returns the JSON Schema of a job.
#[utoipa::path(get, path = "/schemas/job", tag = "schemas", security(()), responses((status = 200, body = Object)))]
pub async fn job() -> Json<Value> {
    Json(schema::<fabric_types::job::JobSpec>())
}

/// Returns the JSON Schema of a manifest.
#[utoipa::path(get, path = "/schemas/manifest", tag = "schemas", security(()), responses((status = 200, body = Object)))]
pub async fn manifest() -> Json<Value> {
    Json(schema::<fabric_types::manifest::Manifest>())
}

/// Returns this document.
#[utoipa::path(get, path = "/openapi.json", tag = "schemas", security(()), responses((status = 200, body = Object)))]
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi::JSON.clone()).into_response()
}
