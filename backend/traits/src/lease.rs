//! Leases: exclusive, time-bound ownership of a name, with an epoch that fences earlier holders.

use crate::Error;
use async_trait::async_trait;
use std::time::Duration;

/// A lease on a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The name.
    pub name: String,
    /// The holder.
    pub holder: String,
    /// Grows with every new holder. Used for fencing.
    pub epoch: u64,
}

/// A lease as seen by a process that does not hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedLease {
    /// The lease.
    pub lease: Lease,
    /// Changes with every renewal.
    pub version: String,
}

/// Exclusive leases that expire.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Acquires `name` if it is free, expired, or already held by `holder`. Returns `None` if another holder has it.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error>;

    /// Extends a lease to `ttl` from now.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it expired and another holder acquired it, or if it was released; [`Error::Backend`].
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), Error>;

    /// Returns the lease on `name`, or `None` if it was never acquired or was released. May return an expired lease.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get(&self, name: &str) -> Result<Option<ObservedLease>, Error>;

    /// Takes a lease from a holder that is known to have ended, without waiting for expiry. Returns `None` if the lease
    /// has changed since `seen` was read.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn take_over(&self, seen: &ObservedLease, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error>;

    /// Releases a lease. Succeeds if it is already lost.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn release(&self, lease: &Lease) -> Result<(), Error>;
}
