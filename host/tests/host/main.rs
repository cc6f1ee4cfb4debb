//! The sandbox, run against well-behaved and hostile guests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod calls;
mod faults;
mod gpu;
mod isolation;
mod limits;
mod support;
