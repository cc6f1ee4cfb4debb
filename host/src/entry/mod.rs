//! Calls of guests, by entry kind.

pub(crate) mod describe;
mod guest_task;
pub(crate) mod http;
mod request_body;
pub(crate) mod response_body;
pub(crate) mod task;
