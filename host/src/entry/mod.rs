//! The kinds of entry: what is called, and how its answer is read.

pub(crate) mod http;
pub(crate) mod task;
