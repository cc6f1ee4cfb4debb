//! SDK for Fabric functions in Rust. Ordinary functions with attributes become the exports of a WebAssembly component.
//!
//! The package is `fabric-sdk`, the crate is `fabric`. The attribute macros expand to paths that begin with that name,
//! so do not rename the crate.
//! ```toml
//! [dependencies]
//! fabric = { package = "fabric-sdk", path = "…" }
//! ```
//! A map function takes a reader and returns any serializable value. A reduce function merges two such values:
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
//! Build it as a `cdylib` for `wasm32-wasip2`. In native builds the functions are ordinary ones, and [`testing`] runs
//! them as the host would. This crate has no concept of jobs, partitions or attempts: a function's result depends only
//! on its input and parameters.

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
pub use log::{Level, at, log, progress};
pub use output::{IntoOutput, Output};
pub use read::{Bytes, Csv, F64Columns, Json, JsonLines, Lines, Records, Text};
pub use request::{FromRequest, Request, Response};
pub use sys::{Part, PartKind};
// The derive macros for a function's types.
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize, Serialize};

/// Items for the expansion of the attribute macros. Not a public API.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
    #[cfg(target_family = "wasm")]
    pub use crate::entry::wit;
    pub use crate::entry::{describe, handle, map, params, reduce};
}
