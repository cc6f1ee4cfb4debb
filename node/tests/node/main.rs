//! A node over the embedded backend in memory, with the real sandbox and small guests. The test is the scheduler.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod batches;
mod leaving;
mod support;
