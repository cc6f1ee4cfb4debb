//! Request bodies, response bodies and query parameters of the REST API. The gateway serves them, the OpenAPI document
//! describes them, and the Rust client sends and reads them.
//!
//! Facts that the API shares with the rest of the server, such as jobs, tasks, invocations and log lines, are in
//! `fabric_types`; the bodies here refer to them. Names are in snake_case. Fields that end in `_ms` are times in
//! milliseconds since 1970 or durations in milliseconds. Sizes are in bytes.
//!
//! The feature `openapi` adds the schemas.

pub mod function;
pub mod invocation;
pub mod job;
pub mod log;
pub mod node;
pub mod object;
pub mod page;
pub mod problem;
pub mod result;
pub mod token;
pub mod usage;

pub use page::PageOptions;
pub use problem::Problem;
