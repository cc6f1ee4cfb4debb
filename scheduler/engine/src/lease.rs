//! Leases: one holder at a time, for a limited time, with a number that fences the holder before.

use crate::Error;
use async_trait::async_trait;
use std::time::Duration;

/// A hold on a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is held.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Grows with every new holder: the fence.
    pub epoch: u64,
}

/// A hold as the store shows it to a process that does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub lease: Lease,
    /// Changes with every renewal.
    pub version: String,
}

/// Expiring, exclusive holds.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Takes `name` if it is free, expired, or already this holder's; `None` when another holds it.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error>;

    /// Extends a hold to `ttl` from now.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when it expired and another took it, or it was released; [`Error::Backend`].
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), Error>;

    /// Shows the hold on `name`; `None` where it was never taken or was given up. A hold that has expired may be shown.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn look(&self, name: &str) -> Result<Option<Held>, Error>;

    /// Takes a hold from a holder that is known to have ended, without waiting for its time to pass; `None` when the hold
    /// has changed since it was seen.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn take_over(&self, seen: &Held, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error>;

    /// Gives it up; fine when it is lost already.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn release(&self, lease: &Lease) -> Result<(), Error>;
}
