//! The fleet's backends over real servers: NATS, single and as a cluster of three, and an S3 server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod conformance;
mod fencing;
mod hostile;
mod lost_answers;
mod nats;
mod opening;
mod outage;
mod over;
mod proxy;
mod timings;
#[path = "../../../../store/tests/store/weed/mod.rs"]
mod weed;
