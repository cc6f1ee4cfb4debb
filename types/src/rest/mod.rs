//! The JSON of the REST API, written once: the gateway serves it, OpenAPI describes it, the CLI and other clients read it.
//!
//! Names are snake_case; times are milliseconds since 1970 in fields that end in `_ms`; sizes are bytes.

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
    /// The things, in the list's order.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
