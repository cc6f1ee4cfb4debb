//! The task that owns the worker: it alone talks to it, one request at a time, kills it when a deadline passes, and
//! starts it again when it ended.
//!
//! One request at a time is also what keeps tenants apart in time: while one's submit runs, nothing of another does.

use super::{process::Process, room::Room};
use crate::{
    Error, Info, OnDeadline, Options,
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

/// The first wait before a worker that died by itself is started again; doubled each time, up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// Calls wait for a worker that will be started within this time; else they are told that the device is lost.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// A request on its way to the worker.
pub(super) struct Job {
    /// The worker on which the session has something; another one does not know it.
    pub(super) epoch: Option<u64>,
    pub(super) request: Request,
    pub(super) bytes: Bytes,
    pub(super) deadline: Duration,
    /// Told when it passes its deadline.
    pub(super) on_deadline: OnDeadline,
    pub(super) answer: oneshot::Sender<Answer>,
    /// The session's turn: it has one request under way, even when its caller went away.
    pub(super) _turn: OwnedSemaphorePermit,
}

/// What came of a [`Job`].
pub(super) struct Answer {
    /// Which worker it was: counted up at every start.
    pub(super) epoch: u64,
    /// Device time in nanoseconds, and the bytes that were read.
    pub(super) outcome: Result<(u64, Vec<u8>), Error>,
}

/// A session that ends.
pub(super) struct Ending {
    pub(super) session: u64,
    /// What to give back to the room.
    pub(super) bytes: u64,
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// What the handles see of the owner.
pub(super) struct Status {
    pub(super) info: Mutex<Info>,
    /// 0 when there is none.
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
    /// Times in a row that it ended without having answered.
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
    /// The next thing that happens without being asked. Cancel safe.
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

    /// Serves until it is stopped or nobody is left to ask.
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
        // Its caller went away before it began. Its session may have ended since, so it must not begin.
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
        // Whoever asked may be gone.
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
                // The only way to stop a shader. It is the guest's doing, so the next worker starts at once.
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

    /// The worker ended by itself.
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

    /// Ends a session. Its room is free when the device has zeroed and freed its buffers, or the worker is gone.
    async fn end(&mut self, ending: Ending) {
        if matches!(self.worker, Worker::Runs(_)) {
            let deadline = self.options.transfer_deadline;
            let closed = self.ask(&Request::Close { session: ending.session }, &[], deadline).await;
            // What can't be zeroed goes with the whole worker.
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
