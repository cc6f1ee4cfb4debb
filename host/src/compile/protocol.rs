//! What goes between the host and its compile worker, in both directions over the worker's standard streams.
//!
//! To the worker: the length of a [`Request`] as u32, the request in postcard, then the module to the end of the
//! stream. From the worker: one tag byte, then either machine code or a [`Fault`] in postcard, to the end of the stream.

use fabric_types::Fault;
use serde::{Deserialize, Serialize};

/// A longer request is not one.
pub(crate) const MAX_REQUEST_BYTES: u32 = 4096;

pub(crate) const ARTEFACT: u8 = b'A';
pub(crate) const FAULT: u8 = b'F';

/// What is to be compiled, and within which limits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) pure: bool,
    pub(crate) component: bool,
    /// The engine the result is for; a worker of another version refuses.
    pub(crate) fingerprint: String,
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) module_bytes: u64,
}

/// What came of it.
pub(crate) type Reply = Result<Vec<u8>, Fault>;

/// Reads a worker's whole output; `None` when it makes no sense, as when the worker died in the middle.
pub(crate) fn reply(mut bytes: Vec<u8>) -> Option<Reply> {
    match bytes.first() {
        Some(&ARTEFACT) if bytes.len() > 1 => {
            bytes.remove(0);
            Some(Ok(bytes))
        }
        Some(&FAULT) => postcard::from_bytes(bytes.get(1..)?).ok().map(Err),
        _ => None,
    }
}
