//! The OpenAPI document, generated from the annotations of the handlers.

use bytes::Bytes;
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, ContentBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, ResponseBuilder, SchemaFormat, Type,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// The media type of bodies of bytes.
const BINARY: &str = "application/octet-stream";

#[derive(OpenApi)]
#[openapi(
    info(title = "Fabric", description = "A WebAssembly-sandboxed compute fabric.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    components(schemas(fabric_api::Problem)),
    security(("token" = [])),
    modifiers(&TokenSecurity)
)]
pub(crate) struct Base;

/// A modifier that adds the security scheme of all operations.
struct TokenSecurity;

impl Modify for TokenSecurity {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token's secret. Admin tokens may add the header `Fabric-Tenant`."))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// Makes the name of an operation unique: that of its handler and its path, such as `list_functions_versions` for the
/// versions of a function and `get_jobs_one` for one of the jobs.
fn name(operation: &mut Operation, path: &str) {
    let parts = path.split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
    let handler = operation.operation_id.take().unwrap_or_default();
    let mut name = handler.clone();
    for part in parts.filter(|part| *part != "v1" && *part != handler) {
        name = format!("{name}_{}", part.replace(['-', '.'], "_"));
    }
    if path.ends_with('}') {
        name.push_str("_one");
    }
    operation.operation_id = Some(name);
}

/// Describes bytes as a binary body. A handler's `Vec<u8>` is a list of numbers otherwise.
fn binary(content: Option<&mut RefOr<Content>>) {
    if let Some(RefOr::T(content)) = content {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        content.schema = Some(ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into());
    }
}

/// The document as JSON, made for the first request.
pub(super) static JSON: LazyLock<Bytes> = LazyLock::new(|| document().to_json().unwrap_or_default().into());

/// Returns the document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) = super::all().split_for_parts();
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
            name(operation, &path);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                binary(body.content.get_mut(BINARY));
            }
            for answer in operation.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer {
                    binary(answer.content.get_mut(BINARY));
                }
            }
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let answer = ResponseBuilder::new()
                .description("The error, with a stable code and a hint")
                .content(crate::error::PROBLEM_TYPE, problem)
                .build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(answer));
        }
        // The router's wildcard is a plain parameter in OpenAPI.
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}
