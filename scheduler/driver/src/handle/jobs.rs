//! Jobs and invocations: views, waiting, cancellation, the bin, events.

use super::{Driver, not_found};
use crate::{
    command::{CancelOutcome, Command, JobRead},
    job::Meta,
    journal::JobRecord,
};
use fabric_types::{
    Code, Fault,
    id::{InvocationId, JobId, TenantId},
    rest::{
        invocation::Invocation,
        job::{Job, JobEvent},
    },
};
use futures::stream::BoxStream;
use std::time::Duration;

impl Driver {
    /// Returns a job that is not an invocation; `None` if the tenant has no such job.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn job(&self, tenant: &TenantId, job: &JobId) -> Result<Option<Job>, Fault> {
        Ok(self.read_job(tenant, job, JobRead::Job).await?.flatten())
    }

    async fn until_ended(&self, tenant: &TenantId, job: &JobId, timeout: Duration) -> Result<(), Fault> {
        if let Some(events) = self.read_job(tenant, job, JobRead::Events).await? {
            tokio::select! {
                () = events.ended() => {}
                () = tokio::time::sleep(timeout) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Waits until the job has ended or the time has passed, then returns the job like [`Self::job`].
    ///
    /// # Errors
    /// As for [`Self::job`].
    pub async fn wait(&self, tenant: &TenantId, job: &JobId, timeout: Duration) -> Result<Option<Job>, Fault> {
        self.until_ended(tenant, job, timeout).await?;
        self.job(tenant, job).await
    }

    /// Returns an asynchronous invocation, after it ended or `wait` has passed.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn invocation(
        &self,
        tenant: &TenantId,
        id: &InvocationId,
        wait: Duration,
    ) -> Result<Option<Invocation>, Fault> {
        let job = id.as_job();
        if !wait.is_zero() {
            self.until_ended(tenant, &job, wait).await?;
        }
        Ok(self.read_job(tenant, &job, JobRead::Invocation).await?.flatten())
    }

    /// Cancels a job and waits up to 5 s for its end.
    ///
    /// # Errors
    /// `conflict` if the job has already ended, `unavailable` if another owner took it over, `not-found` if there is no such
    /// job, or a backend's fault.
    pub async fn cancel(&self, tenant: &TenantId, job: &JobId) -> Result<Job, Fault> {
        let (id, of) = (job.clone(), tenant.clone());
        match self.request(|reply| Command::Cancel { tenant: of, job: id, reply }).await? {
            CancelOutcome::Requested => {
                self.until_ended(tenant, job, Duration::from_secs(5)).await?;
                self.read_job(tenant, job, JobRead::AnyJob).await?.ok_or_else(|| not_found(job))
            }
            CancelOutcome::AlreadyEnded => Err(Fault::new(Code::Conflict, format!("job {job} has ended already"))),
            CancelOutcome::Unknown => match self.job(tenant, job).await? {
                Some(found) if found.state.is_terminal() => {
                    Err(Fault::new(Code::Conflict, format!("job {job} has ended already")))
                }
                Some(_) => Err(Fault::new(Code::Unavailable, format!("another process owns job {job} now"))
                    .hint("send the request again")),
                None => Err(not_found(job)),
            },
        }
    }

    /// Moves a job into the bin or out of it, in memory, journal and index.
    async fn bin(&self, tenant: &TenantId, job: &JobId, binned: bool) -> Result<Job, Fault> {
        let current = self.job(tenant, job).await?.ok_or_else(|| not_found(job))?;
        if !current.state.is_terminal() {
            return Err(Fault::new(Code::Conflict, format!("job {job} is {}", current.state))
                .hint(format!("stop it first: fabric jobs cancel {job}")));
        }
        let _alone = self.parts.ended_jobs_lock.lock().await;
        let stream = Meta::stream(tenant, job);
        let len = self.parts.backend.journal.streams(&stream, None, 1).await?.first().map_or(0, |s| s.len);
        let len = self.parts.backend.journal.append(&stream, len, vec![JobRecord::Binned(binned).encode()?]).await?;
        let id = job.clone();
        self.request(|reply| Command::SetBinned { job: id, binned, journal_len: len, reply }).await?;
        let changed = Job { deleted: binned, ..current };
        let put = self.parts.index.put_jobs(vec![(tenant.clone(), changed.clone())]).await;
        put.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
        Ok(changed)
    }

    /// Moves an ended job into the bin.
    ///
    /// # Errors
    /// `not-found`, `conflict`, or a backend's fault.
    pub async fn delete(&self, tenant: &TenantId, job: &JobId) -> Result<(), Fault> {
        self.bin(tenant, job, true).await.map(|_| ())
    }

    /// Takes a job out of the bin.
    ///
    /// # Errors
    /// `not-found`, or a backend's fault.
    pub async fn restore(&self, tenant: &TenantId, job: &JobId) -> Result<Job, Fault> {
        self.bin(tenant, job, false).await
    }

    /// Returns the events after `after`, up to the terminal one. A job that ended long ago yields only that one.
    ///
    /// # Errors
    /// `not-found`, or a backend's fault.
    pub async fn events(
        &self,
        tenant: &TenantId,
        job: &JobId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, JobEvent>, Fault> {
        let log = self.read_job(tenant, job, JobRead::Events).await?;
        log.map(|log| log.stream(after)).ok_or_else(|| not_found(job))
    }
}
