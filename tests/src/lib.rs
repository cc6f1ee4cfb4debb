//! The end-to-end suite: tests the real `fabric` binary through its REST API and its CLI, over a temporary folder.
//!
//! This crate is the harness; the tests are in `tests/`. It starts, kills and restarts servers, runs the CLI against
//! them, and inspects their processes from the outside. It mocks nothing. It panics if a step that a test relies on
//! fails, and the panic is the test's failure message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod balancer;
mod cli;
mod cluster;
mod ended;
pub mod faults;
mod guests;
mod nats;
mod process;
mod raw;
mod registry;
mod server;
mod small_fleet;

pub use balancer::Balancer;
pub use cli::Ran;
pub use cluster::{Cluster, nats_server};
pub use ended::Ended;
pub use guests::{built, cat, hostile, hostile_names, manifest, repository};
pub use nats::Nats;
pub use process::Process;
pub use raw::Answer;
pub use registry::Registry;
pub use server::{Options, Server, until};
pub use small_fleet::SmallFleet;
