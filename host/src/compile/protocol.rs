//! The protocol between the host and its compile worker, over the worker's standard streams.
//!
//! The host sends the length of a [`Request`] as u32, the request in postcard, then the module up to the end of the
//! stream. The worker sends frames up to the end of the stream; a frame is a tag, a length as u64, and that many bytes.
//! [`STATUS`] comes first, then either [`FAULT`], or [`FACTS`], [`CODE`] and up to two [`SYMBOLS`]. Each `SYMBOLS`
//! frame replaces the one before. A worker that ends after [`CODE`] without a `SYMBOLS` frame has still compiled the
//! module.

use fabric_confine::User;
use fabric_types::{EngineClass, Fault, function::Entry};
use serde::{Deserialize, Serialize};

/// Maximum length of a request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: u32 = 4096;

/// Tag of the worker's [`fabric_confine::Status`] in postcard.
pub(crate) const STATUS: u8 = b'C';
/// Tag of [`Facts`] in postcard.
pub(crate) const FACTS: u8 = b'M';
/// Tag of machine code.
pub(crate) const CODE: u8 = b'A';
/// Tag of a table of names and lines.
pub(crate) const SYMBOLS: u8 = b'S';
/// Tag of a [`fabric_types::Fault`] in postcard.
pub(crate) const FAULT: u8 = b'F';

/// Maximum length of a status, facts or fault frame, in bytes.
pub(crate) const MAX_SMALL_BYTES: u64 = 64 << 10;

/// Maximum length of a fault's message or hint, in characters. Both may quote the module.
pub(crate) const MAX_MESSAGE_CHARS: usize = 2000;

/// The engine to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// The engine that the module's entry kind selects.
    ByEntry,
    /// The engine of this class.
    Class(EngineClass),
}

/// A request to compile a module under limits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) target: Target,
    /// Engine fingerprints, in the order deterministic, general. A worker with other fingerprints rejects the request.
    pub(crate) fingerprints: [String; 2],
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) module_bytes: u64,
    /// Maximum initial memory of a module, in bytes.
    pub(crate) start_memory_bytes: u64,
    /// User to switch to if the worker runs as root.
    pub(crate) user: Option<User>,
}

/// Properties of a module, read from its bytes. Stored with its machine code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Entry of the module.
    pub(crate) entry: Entry,
    /// `true` if the module exports `describe`.
    pub(crate) describes: bool,
    /// Largest initial memory, in bytes.
    pub(crate) memory: u64,
    /// Class of the engine that the code is for.
    pub(crate) class: EngineClass,
}

/// Truncates a fault's message and hint to [`MAX_MESSAGE_CHARS`].
pub(crate) fn cut(fault: &mut Fault) {
    fn short(text: &str) -> String {
        text.chars().take(MAX_MESSAGE_CHARS).collect()
    }
    fault.message = short(&fault.message);
    fault.hint = fault.hint.as_deref().map(short);
}
