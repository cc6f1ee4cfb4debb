//! The OpenAPI document, generated from the annotations of the handlers.

use bytes::Bytes;
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

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

/// The document as JSON, made for the first request.
pub(super) static JSON: LazyLock<Bytes> = LazyLock::new(|| document().to_json().unwrap_or_default().into());

/// Returns the document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) = super::all().split_for_parts();
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
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
