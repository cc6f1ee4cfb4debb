//! The handle to a node's GPU.

use super::{
    check::Checker,
    owner::{Ending, Job, Owner, Status},
    process::Process,
    room::Room,
    session::Session,
};
use crate::{AdapterInfo, Error, Grant, Options, error::within};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The reason why this node has no GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no GPU: {0}")]
pub struct Unavailable(pub String);

/// A handle to a node's GPU. It starts, supervises and restarts the worker process. Cheap to clone.
///
/// The worker ends on [`shutdown`](Self::shutdown), or when the last clone and the last session are dropped.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    owner: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// State shared by the sessions of a GPU.
pub(super) struct Shared {
    pub(super) options: Arc<Options>,
    pub(super) status: Arc<Status>,
    pub(super) room: Arc<Room>,
    pub(super) checker: Checker,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) endings: mpsc::Sender<Ending>,
    next_session: AtomicU64,
    stop: CancellationToken,
}

impl Gpu {
    /// Starts a worker and queries its adapter. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`Unavailable`] if there is no driver, no matching adapter, or the worker does not start.
    pub async fn detect(options: Options) -> Result<Self, Unavailable> {
        let (process, info) = Process::open_device(&options).await.map_err(Unavailable)?;
        let options = Arc::new(options);
        let status = Arc::new(Status { info: Mutex::new(info), worker: AtomicU32::new(0) });
        let room = Arc::new(Room::new(options.sessions, options.memory_bytes));
        let (jobs, incoming) = mpsc::channel(options.queue.max(1));
        // Each open session ends once, so this channel is never full.
        let (endings, ended) = mpsc::channel(options.sessions.max(1));
        let stop = CancellationToken::new();
        let parts = (options.clone(), status.clone(), room.clone());
        let owner = Owner::new(parts.0, parts.1, parts.2, (incoming, ended), stop.clone(), process);
        let shared = Shared {
            checker: Checker::new(&options),
            options,
            status,
            room,
            jobs,
            endings,
            next_session: AtomicU64::new(1),
            stop,
        };
        let owner = tokio::spawn(owner.run());
        Ok(Self { shared: Arc::new(shared), owner: Arc::new(Mutex::new(Some(owner))) })
    }

    /// Returns a description of the adapter.
    #[must_use]
    pub fn info(&self) -> AdapterInfo {
        self.shared.status.info.lock().clone()
    }

    /// Returns the number of calls waiting for the device.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        let jobs = &self.shared.jobs;
        jobs.max_capacity().saturating_sub(jobs.capacity())
    }

    /// Returns the process id of the worker, or `None` if no worker is running.
    #[must_use]
    pub fn worker_id(&self) -> Option<u32> {
        Some(self.shared.status.worker.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Opens a session for one guest instance and reserves its memory. The memory is released after the session is
    /// closed or dropped and the device has zeroed its buffers.
    ///
    /// # Errors
    /// [`Error::Busy`] if the reservation does not fit at the moment; [`Error::Limit`] for `total-bytes` if it can
    /// never fit.
    pub fn session(&self, grant: Grant) -> Result<Session, Error> {
        within("total-bytes", grant.total_bytes, self.shared.options.memory_bytes)?;
        self.shared.room.take(grant.total_bytes)?;
        let id = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        Ok(Session::new(self.shared.clone(), id, grant))
    }

    /// Opens a session as soon as its reservation fits. Callers are served in order.
    ///
    /// # Errors
    /// [`Error::Limit`] for `total-bytes` if the reservation can never fit.
    pub async fn session_when_free(&self, grant: Grant) -> Result<Session, Error> {
        within("total-bytes", grant.total_bytes, self.shared.options.memory_bytes)?;
        self.shared.room.wait(grant.total_bytes).await;
        let id = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        Ok(Session::new(self.shared.clone(), id, grant))
    }

    /// Kills the worker and waits for its end. Calls of sessions that are still open fail with `DeviceLost`.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let owner = self.owner.lock().take();
        if let Some(owner) = owner {
            let _ = owner.await;
        }
    }
}
