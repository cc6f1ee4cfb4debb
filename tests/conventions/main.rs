//! Tests of the source itself, without a server: dependencies between crates, the language of comments, links in the
//! documentation, versions of WIT packages. `cargo xtask check` runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod architecture;
mod cargo;
mod documentation;
mod language;
mod sources;
mod wit;
