//! A guest's use of the node's GPU: `fabric:gpu`, over a session that begins with the first call that needs one and ends
//! with the instance.

pub(crate) mod bindings;
mod blame;
mod device;
mod imports;

pub(crate) use device::Access;
pub use device::{Device, Search};

use fabric_gpu::{
    BufferId, Command, Error, Gpu, Grant, OnDeadline, Outcome, PipelineId, Range, Reflection, Session, Source,
};
use fabric_types::limits::Limits;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A buffer in a guest's table.
pub struct Buffer(BufferId);

/// A pipeline in a guest's table.
pub struct Pipeline {
    id: PipelineId,
    layout: Reflection,
}

/// One call's use of the GPU.
pub(crate) struct Use {
    access: Access,
    grant: Grant,
    /// What the guest's memory may hold. More is not read for it: it would only fill the host's.
    most_read: u64,
    /// Where its device time goes at the end, however that comes.
    bill: Arc<AtomicU64>,
    session: Option<Session>,
}

impl Use {
    pub(crate) fn new(access: Access, limits: &Limits, bill: Arc<AtomicU64>) -> Self {
        let on_deadline = match &access {
            Access::Granted(granted) => {
                let (blame, tenant) = (granted.blame.clone(), granted.tenant.clone());
                OnDeadline::new(move || blame.add(&tenant))
            }
            _ => OnDeadline::default(),
        };
        let grant = Grant {
            total_bytes: limits.gpu_memory_bytes.0,
            submit_deadline: Duration::from_millis(limits.gpu_submit_ms),
            device_time: Duration::from_millis(limits.gpu_ms),
            on_deadline,
        };
        Self { access, grant, most_read: limits.memory_bytes.0, bill, session: None }
    }

    /// What is left of the granted device time.
    fn left(&self) -> Duration {
        self.session.as_ref().map_or(self.grant.device_time, Session::device_time_left)
    }

    /// Device time so far in microseconds. A submit that nobody waited for counts to its deadline.
    fn micros(&self) -> u64 {
        let spent = self.session.as_ref().map_or(Duration::ZERO, Session::device_time_spent);
        u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
    }

    /// The GPU.
    ///
    /// # Errors
    /// `denied`.
    fn gpu(&self) -> Result<&Gpu, Error> {
        match &self.access {
            Access::Granted(granted) => Ok(&granted.gpu),
            Access::NotAsked => Err(Error::Denied(
                "the function asks for no GPU: put gpu = \"preferred\" under [resources] in fabric.toml".into(),
            )),
            Access::Denied(why) => Err(Error::Denied(why.as_ref().to_owned())),
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// `limit` for what the guest's memory can't hold, and those of [`Session::read`].
    async fn read(&mut self, range: Range) -> Result<Vec<u8>, Error> {
        if range.bytes > self.most_read {
            return Err(Error::Limit { name: "memory-bytes".into(), value: range.bytes, limit: self.most_read });
        }
        self.session().await?.read(range).await
    }

    /// Runs commands.
    ///
    /// # Errors
    /// `busy` for a tenant whose submits ran into their deadline too often, and those of [`Session::submit`].
    async fn submit(&mut self, commands: Vec<Command>, reads: Vec<Range>) -> Result<Outcome, Error> {
        self.may_run()?;
        self.session().await?.submit(commands, reads).await
    }

    /// Compiles a pipeline.
    ///
    /// # Errors
    /// As [`Self::submit`], and those of [`Session::compile`].
    async fn compile(&mut self, source: Source) -> Result<(PipelineId, Reflection), Error> {
        self.may_run()?;
        self.session().await?.compile(source).await
    }

    /// Whether the tenant may take the device's time now.
    fn may_run(&self) -> Result<(), Error> {
        match &self.access {
            Access::Granted(granted) => granted.blame.check(&granted.tenant),
            _ => Ok(()),
        }
    }

    /// The session; the first call waits until the device has room for it.
    ///
    /// # Errors
    /// `denied`, or `limit` when it never has.
    async fn session(&mut self) -> Result<&Session, Error> {
        if self.session.is_none() {
            self.session = Some(self.gpu()?.session_when_free(self.grant.clone()).await?);
        }
        self.session.as_ref().ok_or_else(|| Error::Denied("there is no session".into()))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.bill.store(self.micros(), Ordering::Release);
    }
}
