//! The fleet's backends of the engine's traits: an object store for what must last, NATS for what may be lost.
//!
//! *Registry*, *journal*, *results* and *leases* are objects written with create-if-absent or under an entity tag, so that the
//! store itself fences a stale writer. *Presence*, *lanes* and *notices* are plain NATS messages: no streams, nothing kept by
//! the server. Losing NATS delays; it loses nothing. Not for one machine alone: `fabric_engine::embedded` is that.

mod fleet;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod lanes;
mod leases;
mod link;
mod meet;
mod names;
mod notices;
mod objects;
mod options;
mod presence;
mod registry;
mod results;
mod seal;
mod tasks;
mod turns;
mod upkeep;
mod word;

pub use fabric_engine::Error;
pub use fleet::{Fleet, Health, Stats};
pub use options::{FleetOptions, Login, Times, Tls};
