//! The suites that every backend passes. Each takes a factory of fresh, empty backends and panics where one breaks the
//! trait's word. Time: suites sleep with tokio's clock, so over an in-process backend run them with it paused.

// A test suite: it fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod journal;
pub mod lanes;
pub mod leases;
pub mod notices;
pub mod presence;
pub mod registry;
pub mod results;

use futures::{FutureExt as _, Stream, StreamExt as _};

/// The next item, which must come.
async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    stream.next().await.expect("the stream ended")
}

/// Whether nothing is ready right now.
fn is_quiet<S: Stream + Unpin>(stream: &mut S) -> bool {
    stream.next().now_or_never().is_none()
}
