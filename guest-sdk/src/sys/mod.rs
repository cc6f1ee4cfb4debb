//! The calls a task may make, behind one set of names: the real imports in a component, a recording on the host.

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) mod host;
#[cfg(not(target_family = "wasm"))]
pub(crate) use host::*;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For following single steps.
    Trace,
    /// For finding a fault.
    Debug,
    /// For knowing what happened.
    Info,
    /// Something is odd, the result stands.
    Warn,
    /// Something is wrong.
    Error,
}

/// How a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// As a stream of bytes.
    Bytes,
    /// As keyed records in key order.
    Keyed,
}

/// What is known of a part of the input before reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The object's path, `item`, or `partial`.
    pub name: String,
    /// Where in the object the part starts, in bytes; 0 for whole objects and items.
    pub offset: u64,
    /// The part's length in bytes, where it is known.
    pub size: Option<u64>,
    /// How it is read.
    pub kind: PartKind,
}

/// One record of a shuffle.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Compared and hashed as bytes.
    pub key: Vec<u8>,
    /// Any bytes; JSON when it came from [`crate::emit`].
    pub value: Vec<u8>,
}

#[cfg(target_family = "wasm")]
pub use crate::bindings::imports::fabric::task::types::Keyed;
