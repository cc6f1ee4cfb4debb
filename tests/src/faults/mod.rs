//! Faults: a fleet of real processes over real servers, broken on purpose and checked afterwards.
//!
//! A [`Round`] is drawn from a seed: a job, a [`Fault`], its victim and its length. Between each process and what it needs
//! is a line of its own, a proxy or a network namespace's route, that can be cut, stalled or made bad. While a fault lasts,
//! clients call, submit and store at every door. What must be true after a round is in `Round::run`.
//!
//! `tests/faults.rs` runs each fault once, at a fixed seed; the program `soak` runs random rounds for as long as it is told.

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
