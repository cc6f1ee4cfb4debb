//! The calls of `fabric:task` under one set of names: imports in a component, a recording in native builds.

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) mod host;
#[cfg(not(target_family = "wasm"))]
pub(crate) use host::*;

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Single steps.
    Trace,
    /// Details for debugging.
    Debug,
    /// Normal events.
    Info,
    /// A problem that does not affect the result.
    Warn,
    /// An error.
    Error,
}

/// Format of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// A stream of bytes.
    Bytes,
    /// Keyed records in key order.
    Keyed,
}

/// Description of a part of the input, available before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The object's path, `item`, or `partial`.
    pub name: String,
    /// Offset of the part in its object, in bytes; 0 for whole objects and items.
    pub offset: u64,
    /// Length of the part in bytes, if known.
    pub size: Option<u64>,
    /// Format of the part.
    pub kind: PartKind,
}

/// One record of a shuffle.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The key, compared and hashed as bytes.
    pub key: Vec<u8>,
    /// The value: any bytes; JSON if emitted by [`crate::emit()`].
    pub value: Vec<u8>,
}

#[cfg(target_family = "wasm")]
pub use crate::bindings::imports::fabric::task::types::Keyed;
