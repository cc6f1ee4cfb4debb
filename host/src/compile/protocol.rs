//! The exchange between the host and its compile worker over the worker's standard streams.
//!
//! To the worker: the length of a [`Request`] as u32, the request in postcard, then the module to the end of the stream.
//! From the worker: frames, each of a tag, a length as u64 and so many bytes, to the end of the stream. [`STATUS`] comes
//! first; then either [`FAULT`], or [`FACTS`], [`CODE`], and [`SYMBOLS`] up to twice: each replaces the one before, and
//! a worker that ends without any has still compiled the module.

use fabric_confine::User;
use fabric_types::{Fault, function::Entry};
use serde::{Deserialize, Serialize};

/// Bytes of the longest request.
pub(crate) const MAX_REQUEST_BYTES: u32 = 4096;

/// What binds the worker: a [`fabric_confine::Status`] in postcard.
pub(crate) const STATUS: u8 = b'C';
/// [`Facts`] in postcard.
pub(crate) const FACTS: u8 = b'M';
/// Machine code.
pub(crate) const CODE: u8 = b'A';
/// A table of names and lines.
pub(crate) const SYMBOLS: u8 = b'S';
/// A [`fabric_types::Fault`] in postcard.
pub(crate) const FAULT: u8 = b'F';

/// Bytes of the longest status, facts or fault.
pub(crate) const MAX_SMALL_BYTES: u64 = 64 << 10;

/// Characters of the longest message or hint of a fault: both may quote the module.
pub(crate) const MAX_MESSAGE_CHARS: usize = 2000;

/// The engine to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// The one of the module's entry kind.
    ByEntry,
    /// The one for pure functions.
    Pure,
    /// The one for all others.
    Service,
}

/// A module to compile, and the limits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) target: Target,
    /// The engines' fingerprints: for pure functions, for all others. A worker of another version refuses.
    pub(crate) fingerprints: [String; 2],
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) module_bytes: u64,
    /// The largest memory that a module may start with.
    pub(crate) start_memory_bytes: u64,
    /// The user to become where the worker is root.
    pub(crate) user: Option<User>,
}

/// A module as its bytes describe it. Kept with its machine code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Its entry.
    pub(crate) entry: Entry,
    /// Whether it can describe itself.
    pub(crate) describes: bool,
    /// Bytes of the largest memory it starts with.
    pub(crate) memory: u64,
    /// Whether the code is for the engine of pure functions.
    pub(crate) pure: bool,
}

/// Cuts a fault's texts to [`MAX_MESSAGE_CHARS`].
pub(crate) fn cut(fault: &mut Fault) {
    fn short(text: &str) -> String {
        text.chars().take(MAX_MESSAGE_CHARS).collect()
    }
    fault.message = short(&fault.message);
    fault.hint = fault.hint.as_deref().map(short);
}
