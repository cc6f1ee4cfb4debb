//! What the scheduler stands on, as small traits: what must last (registry, journal, results) and what may be lost
//! and rebuilt (presence, leases, lanes, notices). Each trait has one conformance suite that runs over every backend.
//!
//! Keys and stream names begin with `t/{tenant}/` for what belongs to a tenant and `sys/` for what does not.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod deaths;
pub mod embedded;
pub mod error;
pub mod journal;
pub mod lane;
pub mod lease;
pub mod notice;
pub mod presence;
pub mod registry;
pub mod results;
pub mod upkeep;

pub use error::Error;

use std::sync::Arc;

/// The backends of one fabric, chosen at start.
#[derive(Clone)]
pub struct Engine {
    /// Versioned key/value.
    pub registry: Arc<dyn registry::Registry>,
    /// Append-only streams.
    pub journal: Arc<dyn journal::Journal>,
    /// Results under task keys.
    pub results: Arc<dyn results::Results>,
    /// Exclusive, fenced, expiring holds.
    pub leases: Arc<dyn lease::Leases>,
    /// Who is here.
    pub presence: Arc<dyn presence::Presence>,
    /// Work on its way to nodes and back.
    pub lanes: Arc<dyn lane::Lanes>,
    /// Something changed: look.
    pub notices: Arc<dyn notice::Notices>,
    /// Counts what is stored and expires it.
    pub upkeep: Arc<dyn upkeep::Upkeep>,
}
