//! The backends of a fleet of processes: an object store for durable data, NATS for messages that may be lost.
//!
//! *Registry*, *journal*, *results* and *leases* are objects, written with create-if-absent or conditional on an entity
//! tag, so that the store itself fences a stale writer. *Presence*, *lanes* and *notices* are plain NATS messages; the
//! server stores nothing. An outage of NATS causes delays but no loss. For a single machine use `fabric_embedded`
//! instead.

mod envelope;
mod fleet;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod journal;
mod keyed_locks;
mod lanes;
mod leases;
mod link;
mod maintenance;
mod names;
mod notices;
mod objects;
mod options;
mod presence;
mod registry;
mod results;
mod seal;
mod tasks;

pub use fabric_backend::Error;
pub use fleet::{Fleet, FleetStats, Health};
pub use options::{FleetOptions, Login, Times, Tls};
