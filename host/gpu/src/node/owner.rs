//! The task that owns the worker. It sends requests one at a time, kills the worker when a deadline passes, and
//! restarts it when it has ended.
//!
//! Sequential requests also isolate tenants in time: while a submit of one tenant runs, no request of another does.

use super::{process::Process, room::Room};
use crate::{
    AdapterInfo, Error, OnDeadline, Options,
    protocol::{Reply, Request, encode},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Delay before a worker that crashed is restarted. It doubles with each failure, up to `LAST_BACKOFF`.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// Longest wait of a call for a restart of the worker. If the restart is later, the call fails with `DeviceLost`.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// A request for the worker.
pub(super) struct Job {
    /// Epoch of the worker that holds the session's state. `None` if the session has no state.
    pub(super) epoch: Option<u64>,
    pub(super) request: Request,
    pub(super) bytes: Bytes,
    pub(super) deadline: Duration,
    /// Callback for an exceeded deadline.
    pub(super) on_deadline: OnDeadline,
    pub(super) answer: oneshot::Sender<Answer>,
    /// The session's permit: a session has one request in flight, even if its caller was dropped.
    pub(super) _turn: OwnedSemaphorePermit,
}

/// Result of a [`Job`].
pub(super) struct Answer {
    /// Epoch of the worker, incremented at every start.
    pub(super) epoch: u64,
    /// Device time in nanoseconds, and the bytes read.
    pub(super) outcome: Result<(u64, Vec<u8>), Error>,
}

/// The end of a session.
pub(super) struct Ending {
    pub(super) session: u64,
    /// Reserved bytes to release.
    pub(super) bytes: u64,
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// State of the owner that handles can read.
pub(super) struct Status {
    pub(super) info: Mutex<AdapterInfo>,
    /// Process id; 0 if no worker is running.
    pub(super) worker: AtomicU32,
}

pub(super) struct Owner {
    pub(super) options: Arc<Options>,
    pub(super) status: Arc<Status>,
    pub(super) room: Arc<Room>,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) endings: mpsc::Receiver<Ending>,
    pub(super) stop: CancellationToken,
    worker: Worker,
    epoch: u64,
    /// Number of consecutive ends without a reply.
    failures: u32,
}

enum Worker {
    Runs(Box<Process>),
    Down { next: Instant, why: String },
}

enum Event {
    Died(String),
    Due,
}

impl Worker {
    /// Waits for the next event that is not a reply. Cancel safe.
    async fn event(&mut self) -> Event {
        match self {
            Self::Runs(process) => Event::Died(process.ended().await),
            Self::Down { next, .. } => {
                sleep_until(*next).await;
                Event::Due
            }
        }
    }
}

impl Owner {
    pub(super) fn new(
        options: Arc<Options>,
        status: Arc<Status>,
        room: Arc<Room>,
        (jobs, endings): (mpsc::Receiver<Job>, mpsc::Receiver<Ending>),
        stop: CancellationToken,
        process: Process,
    ) -> Self {
        status.worker.store(process.id().unwrap_or(0), Ordering::Relaxed);
        Self {
            options,
            status,
            room,
            jobs,
            endings,
            stop,
            worker: Worker::Runs(Box::new(process)),
            epoch: 1,
            failures: 0,
        }
    }

    /// Serves requests until it is stopped or all senders are dropped.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ending) = self.endings.recv() => self.end(ending).await,
                event = self.worker.event() => match event {
                    Event::Died(how) => self.down(how),
                    Event::Due => self.start().await,
                },
                job = self.jobs.recv() => match job {
                    Some(job) => self.serve(job).await,
                    None => break,
                },
            }
        }
        if let Worker::Runs(process) = &mut self.worker {
            process.kill().await;
        }
    }

    async fn serve(&mut self, job: Job) {
        // The caller was dropped before the request began. The session may have ended since, so the request must not
        // run.
        if job.answer.is_closed() {
            return;
        }
        if let Worker::Down { next, .. } = &self.worker
            && next.saturating_duration_since(Instant::now()) <= WORTH_WAITING
        {
            sleep_until(*next).await;
            self.start().await;
        }
        let epoch = self.epoch;
        let outcome = if job.epoch.is_some_and(|epoch| epoch != self.epoch) {
            Err(Error::DeviceLost("its worker ended".into()))
        } else {
            self.ask(&job.request, &job.bytes, job.deadline).await
        };
        if matches!(&outcome, Err(Error::TimedOut { .. })) {
            job.on_deadline.tell();
        }
        // The caller may have been dropped.
        let _ = job.answer.send(Answer { epoch, outcome });
        if let Worker::Down { next, .. } = &self.worker
            && *next <= Instant::now()
        {
            self.start().await;
        }
    }

    async fn ask(&mut self, request: &Request, bytes: &[u8], deadline: Duration) -> Result<(u64, Vec<u8>), Error> {
        let process = match &mut self.worker {
            Worker::Runs(process) => process,
            Worker::Down { why, .. } => return Err(Error::DeviceLost(why.clone())),
        };
        let Ok(request) = encode(request, bytes.len()) else {
            return Err(Error::invalid("the request is too long; split it"));
        };
        let broken = match timeout(deadline, process.ask(&request, bytes)).await {
            Ok(Ok((Reply::Done { device_ns }, bytes))) => {
                self.failures = 0;
                return Ok((device_ns, bytes));
            }
            Ok(Ok((Reply::Failed(error), _))) if !matches!(error, Error::DeviceLost(_)) => {
                self.failures = 0;
                return Err(error);
            }
            Ok(_) => process.kill().await,
            Err(_) => {
                // Killing the process is the only way to stop a shader. This is a guest fault, so the next worker
                // starts without delay.
                process.kill().await;
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(deadline_ms, "gpu worker killed at a deadline");
                self.worker = Worker::Down { next: Instant::now(), why: "its worker was stopped".into() };
                return Err(Error::TimedOut { deadline_ms });
            }
        };
        self.down(broken.clone());
        Err(Error::DeviceLost(format!("its worker {broken}")))
    }

    /// Handles the unexpected end of the worker.
    fn down(&mut self, how: String) {
        self.status.worker.store(0, Ordering::Relaxed);
        let doubled = FIRST_BACKOFF.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let wait = doubled.min(LAST_BACKOFF);
        self.failures = self.failures.saturating_add(1).min(31);
        tracing::warn!(how, wait_ms = wait.as_millis() as u64, "gpu worker is down");
        self.worker = Worker::Down { next: Instant::now() + wait, why: format!("its worker {how}") };
    }

    async fn start(&mut self) {
        match Process::open_device(&self.options).await {
            Ok((process, info)) => {
                self.epoch += 1;
                self.status.worker.store(process.id().unwrap_or(0), Ordering::Relaxed);
                *self.status.info.lock() = info;
                self.worker = Worker::Runs(Box::new(process));
            }
            Err(why) => self.down(format!("does not start: {why}")),
        }
    }

    /// Ends a session. Its reservation is released when the device has zeroed and freed its buffers, or when the worker
    /// has ended.
    async fn end(&mut self, ending: Ending) {
        if matches!(self.worker, Worker::Runs(_)) {
            let deadline = self.options.transfer_deadline;
            let closed = self.ask(&Request::Close { session: ending.session }, &[], deadline).await;
            // If the buffers can't be zeroed, the worker is killed.
            if closed.is_err()
                && let Worker::Runs(process) = &mut self.worker
            {
                let how = process.kill().await;
                self.down(how);
            }
        }
        self.room.give_back(ending.bytes);
        if let Some(done) = ending.done {
            let _ = done.send(());
        }
    }
}
