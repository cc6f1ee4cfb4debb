//! Facts that the server's crates exchange and that the REST API shows as they are: jobs, tasks, invocations, log lines,
//! nodes, usage. Bodies and queries that only the API has are in `fabric_api`.
//!
//! Names are in snake_case. Fields that end in `_ms` are times in milliseconds since 1970 or durations in milliseconds.
//! Sizes are in bytes.

pub mod invocation;
pub mod job;
pub mod node;
pub mod object;
pub mod sweep;
pub mod tenant;
pub mod token;

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// Items in the list's order.
    pub items: Vec<T>,
    /// Cursor for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
