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

    /// Gives it up; fine when it is lost already.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn release(&self, lease: &Lease) -> Result<(), Error>;
}
