//! The object store and the splitters, over every backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod conformance;
mod csv;
mod large;
mod parquet;
mod partitions;
mod planted;
mod weed;
