//! Functions for Fabric in Rust: the component's exports, streams and parameters hidden behind ordinary functions.
//!
//! The package is `fabric-sdk`, the crate is `fabric`: the attribute macros expand to paths that begin with that name, so
//! do not rename it to another.
//! ```toml
//! [dependencies]
//! fabric = { package = "fabric-sdk", path = "…" }
//! ```
//! A map function takes a reader and gives anything that serialises; a reduce function merges two of those:
//! ```
//! use fabric::{Lines, Result};
//!
//! #[fabric::map]
//! fn count(mut input: Lines) -> Result<u64> {
//!     while input.next_line().is_some() {}
//!     Ok(input.count())
//! }
//!
//! #[fabric::reduce]
//! fn merge(a: u64, b: u64) -> u64 {
//!     a + b
//! }
//! # fn main() {}
//! ```
//! Build it as a `cdylib` for `wasm32-wasip2`. On the developer's machine the same functions are ordinary ones, and
//! [`testing`] runs them as the host would. This crate knows nothing of jobs, partitions or attempts: a function's
//! result depends on its input and parameters only.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
mod emit;
mod entry;
mod error;
pub mod gpu;
mod input;
mod log;
mod output;
mod read;
mod request;
mod sys;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use emit::{Combine, Keyed, emit, emit_bytes, flush};
pub use error::{Context, Error, ErrorKind, Result};
pub use fabric_sdk_macros::{handler, map, reduce};
pub use input::{CHUNK_BYTES, FromInput, Input};
pub use log::{Level, log, progress};
pub use output::{IntoOutput, Output};
pub use read::{Bytes, Csv, F64Columns, Json, JsonLines, Lines, Records, Text};
pub use request::{FromRequest, Request, Response};
pub use sys::{Part, PartKind};
// The derive macros that a function's types need.
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize, Serialize};

/// What the attribute macros expand to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
    #[cfg(target_family = "wasm")]
    pub use crate::entry::wit;
    pub use crate::entry::{describe, handle, map, params, reduce};
}
