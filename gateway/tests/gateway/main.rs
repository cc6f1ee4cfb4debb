//! The gateway over real services: a listener, an embedded backend, a local store, a host, a node and a driver.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod access;
mod connections;
mod functions;
mod fuzz;
mod http_functions;
mod http_messages;
mod idempotency;
mod invoke;
mod job_lifecycle;
mod jobs;
mod jupyterhub;
mod objects;
mod openapi;
mod peers;
mod reference;
mod stop;
mod support;
