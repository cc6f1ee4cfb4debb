//! Calls of guests, by entry kind.

pub(crate) mod http;
pub(crate) mod task;
