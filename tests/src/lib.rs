//! The end-to-end suite: the real `fabric` binary over a folder of its own, spoken to through its REST API and its CLI.
//!
//! Here is the harness; the tests are in `tests/`. It starts servers, kills them, starts them again, runs the CLI against
//! them and looks at their process from outside. It replaces nothing by a stand-in, and it panics where a step that the
//! test relies on fails: in a test that is the message.
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
