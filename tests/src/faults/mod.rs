//! Fault injection: a fleet of real processes over real servers, with checks after each fault.
//!
//! A [`Round`] is drawn from a seed: a job, a [`Fault`], its target and its duration. Each process reaches each service
//! through its own link, a proxy or a route of a network namespace, which can be cut, stalled or degraded. While a
//! fault is active, clients send calls, jobs and objects to every process that accepts requests. `Round::run` checks
//! what must hold after a round.
//!
//! `tests/e2e/faults.rs` runs each fault once, at a fixed seed; the program `soak` runs random rounds for a given time.

mod callers;
mod clock;
mod doors;
mod fault;
mod fleet;
mod member;
mod netns;
mod network;
mod proxy;
mod round;
mod service;
mod table;
mod work;

pub use fault::Fault;
pub use fleet::{Fleet, Setup};
pub use member::{Door, Member, Role};
pub use netns::possible as namespaces_possible;
pub use proxy::Weather;
pub use round::{Outcome, Round};
pub use table::Table;
pub use work::Work;
