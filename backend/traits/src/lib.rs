//! Traits of the scheduler's storage and messaging backends. Registry, journal and results are durable; presence,
//! leases, lanes and notices may be lost and are rebuilt. Each trait has one conformance suite that runs over every
//! backend.
//!
//! Keys and stream names begin with `t/{tenant}/` if they belong to a tenant, and with `sys/` otherwise.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod deaths;
pub mod error;
pub mod in_process;
pub mod journal;
pub mod lane;
pub mod lease;
pub mod maintenance;
pub mod notice;
pub mod presence;
pub mod registry;
pub mod results;

pub use error::Error;

use std::sync::Arc;

/// The backends of one fabric, chosen at startup.
#[derive(Clone)]
pub struct Backend {
    /// Versioned key/value store.
    pub registry: Arc<dyn registry::Registry>,
    /// Append-only streams.
    pub journal: Arc<dyn journal::Journal>,
    /// Results under task keys.
    pub results: Arc<dyn results::Results>,
    /// Exclusive, fenced leases that expire.
    pub leases: Arc<dyn lease::Leases>,
    /// Liveness of nodes.
    pub presence: Arc<dyn presence::Presence>,
    /// Channels of work to nodes and of completions back.
    pub lanes: Arc<dyn lane::Lanes>,
    /// Change notifications without payload.
    pub notices: Arc<dyn notice::Notices>,
    /// Accounting and expiry of stored data.
    pub maintenance: Arc<dyn maintenance::Maintenance>,
}
