//! Types that all crates of Fabric share: ids, digests, units, limits, manifests, job specifications, units of work,
//! error codes, and the facts that the REST API shows as they are.
//!
//! The types are plain data. None of them does I/O, reads a clock or generates random numbers. The feature `openapi`
//! adds their OpenAPI schemas.

/// Implements the OpenAPI schema of a type as the text that it serialises to, with the feature `openapi`.
macro_rules! text_schema {
    ($name:ident, $example:literal) => {
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .examples([$example])
                    .into()
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub(crate) use text_schema;

pub mod address;
pub mod canonical;
pub mod ceilings;
pub mod code;
pub mod cost;
pub mod count;
pub mod dataset;
pub mod digest;
pub mod disk;
pub mod duration;
pub mod engine_class;
pub mod fault;
pub mod function;
pub mod gpu;
pub mod grants;
pub mod id;
pub mod job;
pub mod job_yaml;
pub mod json;
pub mod label;
pub mod limits;
pub mod manifest;
pub mod memory;
pub mod node;
pub mod object_path;
pub mod parse_error;
pub mod policy;
pub mod price;
pub mod quota;
pub mod rest;
pub mod storage;
pub mod task_key;
pub mod units;
pub mod work;

pub use code::Code;
pub use cost::Cost;
pub use engine_class::EngineClass;
pub use fault::Fault;
