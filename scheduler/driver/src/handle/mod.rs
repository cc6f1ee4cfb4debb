//! The driver's interface for the gateway.

mod audit;
mod jobs;
mod nodes;
mod planning;
mod resubmit;
mod results;
mod submission;
mod submit;
mod tenants;

pub use submission::{Submission, Work};

use crate::{
    command::{Command, JobRead, Reply},
    journal::recovery,
    metrics::DriverMetrics,
    options::Parts,
};
use fabric_backend::Backend;
use fabric_types::{
    Code, Fault,
    id::{JobId, TenantId},
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A handle to the driver. Cloning is cheap.
#[derive(Clone)]
pub struct Driver {
    pub(crate) parts: Parts,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: DriverMetrics,
}

pub(crate) fn not_found(job: &JobId) -> Fault {
    Fault::new(Code::NotFound, format!("there is no job {job}")).hint("list them with `fabric jobs`")
}

fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is shutting down").hint("try again in a moment")
}

impl Driver {
    /// Returns the driver's metrics.
    #[must_use]
    pub fn metrics(&self) -> &DriverMetrics {
        &self.metrics
    }

    /// Stops the driver. Work in progress continues after the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.parts.tracker.close();
        // The tasks that send to nodes end with the owner, because it drops their queues.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.parts.tracker.wait()).await;
    }

    /// Returns the backends.
    pub(crate) fn backend(&self) -> &Backend {
        &self.parts.backend
    }

    /// Sends a command to the owner and waits for its reply.
    ///
    /// # Errors
    /// `unavailable` while shutting down.
    pub(crate) async fn request<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Reads a job of the tenant from memory, or else from the journal. Returns `None` if there is no such job.
    ///
    /// # Errors
    /// `unavailable` while shutting down, or a backend's fault.
    pub(crate) async fn read_job<T>(
        &self,
        tenant: &TenantId,
        job: &JobId,
        read: impl FnOnce(Reply<T>) -> JobRead,
    ) -> Result<Option<T>, Fault> {
        let (reply, answer) = oneshot::channel();
        let (not_in_memory, returned) = oneshot::channel();
        let command = Command::ReadJob { tenant: tenant.clone(), job: job.clone(), read: read(reply), not_in_memory };
        self.commands.send(command).await.map_err(|_| stopping())?;
        // The owner drops the channel if it has the job.
        if let Ok(read) = returned.await {
            let Some(job) = recovery::load(self.backend(), tenant, job).await? else { return Ok(None) };
            read.carry_out(&job, None);
        }
        answer.await.map(Some).map_err(|_| stopping())
    }
}
