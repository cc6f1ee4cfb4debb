//! The JSON of the REST API, defined once: the gateway serves it, OpenAPI describes it, and the CLI and other clients
//! read it.
//!
//! Names are in snake_case. Fields that end in `_ms` are times in milliseconds since 1970 or durations in milliseconds.
//! Sizes are in bytes.

pub mod function;
pub mod invocation;
pub mod job;
pub mod node;
pub mod object;
pub mod problem;
pub mod sweep;
pub mod tenant;
pub mod token;

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// Items in the list's order.
    pub items: Vec<T>,
    /// Cursor for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
