//! The embedded backend: conformance, deaths, maintenance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod deaths;
mod maintenance;
mod suites;
