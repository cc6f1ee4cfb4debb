//! A guest's use of the node's GPU through `fabric:gpu`. Its session begins with the first call that needs one and ends
//! with the instance.

pub(crate) mod bindings;
mod deadline_backoff;
mod device;
mod imports;

pub(crate) use device::GpuAccess;
pub use device::{Device, Search};

use fabric_gpu::{
    BufferId, ByteRange, Error, Gpu, GpuCommand, Grant, OnDeadline, PipelineId, Reflection, Session, Source,
    SubmitOutcome,
};
use fabric_types::limits::Limits;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A buffer in a guest's resource table.
pub struct GuestBuffer(BufferId);

/// A pipeline in a guest's resource table.
pub struct GuestPipeline {
    id: PipelineId,
    layout: Reflection,
}

/// The GPU use of one call.
pub(crate) struct GpuUsage {
    access: GpuAccess,
    grant: Grant,
    /// Memory limit of the guest, in bytes. A larger read is rejected, since it would only fill the host's memory.
    max_read_bytes: u64,
    /// Receives the device time in microseconds on drop.
    device_time_us: Arc<AtomicU64>,
    session: Option<Session>,
}

impl GpuUsage {
    pub(crate) fn new(access: GpuAccess, limits: &Limits, device_time_us: Arc<AtomicU64>) -> Self {
        let on_deadline = match &access {
            GpuAccess::Granted(granted) => {
                let (deadline_backoff, tenant) = (granted.deadline_backoff.clone(), granted.tenant.clone());
                OnDeadline::new(move || deadline_backoff.add(&tenant))
            }
            _ => OnDeadline::default(),
        };
        let grant = Grant {
            total_bytes: limits.gpu_memory_bytes.0,
            submit_deadline: Duration::from_millis(limits.gpu_submit_ms),
            device_time: Duration::from_millis(limits.gpu_ms),
            on_deadline,
        };
        Self { access, grant, max_read_bytes: limits.memory_bytes.0, device_time_us, session: None }
    }

    /// Returns the remaining device time of the grant.
    fn left(&self) -> Duration {
        self.session.as_ref().map_or(self.grant.device_time, Session::device_time_left)
    }

    /// Returns the device time used so far, in microseconds. An abandoned submit counts up to its deadline.
    fn micros(&self) -> u64 {
        let spent = self.session.as_ref().map_or(Duration::ZERO, Session::device_time_spent);
        u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the GPU.
    ///
    /// # Errors
    /// `denied` if the call has no access to one.
    fn gpu(&self) -> Result<&Gpu, Error> {
        match &self.access {
            GpuAccess::Granted(granted) => Ok(&granted.gpu),
            GpuAccess::NotRequested => Err(Error::Denied(
                "the function does not request a GPU: set gpu = \"preferred\" under [resources] in fabric.toml".into(),
            )),
            GpuAccess::Denied(why) => Err(Error::Denied(why.as_ref().to_owned())),
        }
    }

    /// Reads a range of a buffer.
    ///
    /// # Errors
    /// `limit` if the range is larger than the guest's memory limit, and the errors of [`Session::read`].
    async fn read(&mut self, range: ByteRange) -> Result<Vec<u8>, Error> {
        if range.bytes > self.max_read_bytes {
            return Err(Error::Limit { name: "memory-bytes".into(), value: range.bytes, limit: self.max_read_bytes });
        }
        self.session().await?.read(range).await
    }

    /// Runs commands.
    ///
    /// # Errors
    /// `busy` if the tenant's submits exceeded their deadline too often, and the errors of [`Session::submit`].
    async fn submit(&mut self, commands: Vec<GpuCommand>, reads: Vec<ByteRange>) -> Result<SubmitOutcome, Error> {
        self.may_run()?;
        self.session().await?.submit(commands, reads).await
    }

    /// Compiles a pipeline.
    ///
    /// # Errors
    /// `busy` as for [`Self::submit`], and the errors of [`Session::compile`].
    async fn compile(&mut self, source: Source) -> Result<(PipelineId, Reflection), Error> {
        self.may_run()?;
        self.session().await?.compile(source).await
    }

    /// Checks that the tenant may use the device now.
    fn may_run(&self) -> Result<(), Error> {
        match &self.access {
            GpuAccess::Granted(granted) => granted.deadline_backoff.check(&granted.tenant),
            _ => Ok(()),
        }
    }

    /// Returns the session. The first call waits until the device has room for it.
    ///
    /// # Errors
    /// `denied`, or `limit` if the grant exceeds the device.
    async fn session(&mut self) -> Result<&Session, Error> {
        if self.session.is_none() {
            self.session = Some(self.gpu()?.session_when_free(self.grant.clone()).await?);
        }
        self.session.as_ref().ok_or_else(|| Error::Denied("there is no session".into()))
    }
}

impl Drop for GpuUsage {
    fn drop(&mut self) {
        self.device_time_us.store(self.micros(), Ordering::Release);
    }
}
