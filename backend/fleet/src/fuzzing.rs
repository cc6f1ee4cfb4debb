//! Access to private parsers for the fuzz targets. Not part of the crate's interface.

use crate::lanes::fuzzing;

/// Returns encoded lane messages, as a sender would send them.
#[must_use]
pub fn lane_messages() -> Vec<Vec<u8>> {
    fuzzing::messages()
}

/// Decodes a message as every receiver would.
pub fn decode_lane_message(bytes: &[u8]) {
    fuzzing::decode(bytes);
}
