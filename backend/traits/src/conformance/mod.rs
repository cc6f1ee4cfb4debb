//! Conformance suites that every backend passes. Each suite takes a factory of fresh, empty backends and panics on a
//! violation of the trait's contract. The suites sleep on tokio's clock, so run them with paused time if the backend is
//! in-process.

// Test suites fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod journal;
pub mod lanes;
pub mod leases;
pub mod notices;
pub mod presence;
pub mod registry;
pub mod results;

use futures::{FutureExt as _, Stream, StreamExt as _};

/// Returns the next item. Panics if the stream ends.
async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    stream.next().await.expect("the stream ended")
}

/// Returns `true` if no item is ready now.
fn is_quiet<S: Stream + Unpin>(stream: &mut S) -> bool {
    stream.next().now_or_never().is_none()
}
