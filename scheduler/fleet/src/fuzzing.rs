//! What the fuzz run needs of the private parsers. Not part of the crate's interface.

use crate::lanes::fuzzing;

/// Messages as they are sent.
#[must_use]
pub fn lane_messages() -> Vec<Vec<u8>> {
    fuzzing::messages()
}

/// Reads a message as every receiver would.
pub fn decode_lane_message(bytes: &[u8]) {
    fuzzing::decode(bytes);
}
