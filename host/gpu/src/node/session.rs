//! One guest instance's use of the GPU. Every call is checked here, in this process, before the worker hears of it.

use super::{
    gpu::Shared,
    meter::{Meter, Reserved},
    owner::{Answer, Ending, Job},
};
use crate::{
    Error, Grant, Info, Ledger, OnDeadline, Stats,
    command::{BufferId, Command, PipelineId, Range, Reflection},
    limits::CHUNK_BYTES,
    protocol::Request,
    shader::Source,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What came of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it cost.
    pub stats: Stats,
    /// The bytes of each range that was to be read, in order.
    pub reads: Vec<Bytes>,
}

/// Buffers and pipelines of one guest instance, within its grant.
///
/// Calls of one session run one after the other. A call whose future is dropped may still run once it has begun; a submit
/// or a compilation that was dropped counts with its whole deadline. Dropping the session frees everything.
pub struct Session {
    shared: Arc<Shared>,
    id: u64,
    grant: Grant,
    turns: Arc<Semaphore>,
    state: Mutex<State>,
    closed: bool,
}

struct State {
    ledger: Ledger,
    /// The worker that has what is in the ledger.
    epoch: Option<u64>,
    meter: Meter,
    /// A loss that was found when something was given back. Nobody looks at that outcome, so the next call tells it.
    untold: Option<Error>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, id: u64, grant: Grant) -> Self {
        let limits = shared.status.info.lock().limits.clone();
        let ledger = Ledger::new(limits, grant.total_bytes);
        let state = Mutex::new(State { ledger, epoch: None, meter: Meter::new(grant.device_time), untold: None });
        Self { shared, id, grant, turns: Arc::new(Semaphore::new(1)), state, closed: false }
    }

    /// The adapter, as [`Gpu::info`](crate::Gpu::info).
    #[must_use]
    pub fn info(&self) -> Info {
        self.shared.status.info.lock().clone()
    }

    /// What this session may use.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What is left of the grant's device time.
    #[must_use]
    pub fn device_time_left(&self) -> Duration {
        self.state.lock().meter.left()
    }

    /// Device time so far. A call that nobody waited for counts with its whole deadline; the call that used the grant up
    /// may have taken longer than what was left.
    #[must_use]
    pub fn device_time_spent(&self) -> Duration {
        self.state.lock().meter.spent()
    }

    /// Makes a buffer of `bytes`, rounded up to 4, filled with zeros.
    ///
    /// # Errors
    /// `invalid` for no bytes, `limit`, `out-of-memory`, `device-lost`.
    pub async fn create(&self, bytes: u64) -> Result<BufferId, Error> {
        let turn = self.told_turn().await?;
        let (buffer, bytes) = self.state.lock().ledger.create(bytes)?;
        let outcome = self.housekeep(Request::Create { session: self.id, buffer, bytes }, Bytes::new(), turn).await;
        if outcome.is_err() {
            // It may be gone already, with the device.
            let _ = self.state.lock().ledger.destroy(buffer);
        }
        outcome.map(|()| buffer)
    }

    /// Frees a buffer, after it is zeroed. When the device turns out to be lost, the next call says so.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub async fn destroy(&self, buffer: BufferId) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.state.lock().ledger.destroy(buffer)?;
        self.give_back(Request::Destroy { session: self.id, buffer }, turn).await
    }

    /// A buffer's size, in bytes.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub fn size(&self, buffer: BufferId) -> Result<u64, Error> {
        self.state.lock().ledger.size(buffer)
    }

    /// Writes bytes into a buffer; offset and length are multiples of 4. What comes later sees them.
    ///
    /// # Errors
    /// `invalid` for a range that isn't in the buffer, `device-lost`.
    pub async fn write(&self, buffer: BufferId, mut offset: u64, mut bytes: Bytes) -> Result<(), Error> {
        self.told()?;
        self.state.lock().ledger.check_range(Range { buffer, offset, bytes: bytes.len() as u64 })?;
        while !bytes.is_empty() {
            let turn = self.told_turn().await?;
            // Another call of this session may have come between.
            self.state.lock().ledger.check_range(Range { buffer, offset, bytes: bytes.len() as u64 })?;
            let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES as usize));
            let len = chunk.len() as u64;
            self.housekeep(Request::Write { session: self.id, buffer, offset }, chunk, turn).await?;
            offset += len;
        }
        Ok(())
    }

    /// Reads a range; both its ends are multiples of 4. It has what all earlier calls wrote.
    ///
    /// # Errors
    /// `invalid` for a range that isn't in the buffer, `device-lost`.
    pub async fn read(&self, range: Range) -> Result<Vec<u8>, Error> {
        self.told()?;
        self.state.lock().ledger.check_range(range)?;
        let chunk = self.info().limits.read_bytes.min(CHUNK_BYTES);
        let mut all = Vec::with_capacity(usize::try_from(range.bytes).unwrap_or(0));
        let mut done = 0;
        while done < range.bytes {
            let part = Range { offset: range.offset + done, bytes: chunk.min(range.bytes - done), ..range };
            let turn = self.told_turn().await?;
            self.state.lock().ledger.check_submit(&[], &[part])?;
            let deadline = self.shared.options.transfer_deadline;
            let request = self.submit_request(Vec::new(), vec![part], deadline);
            let (_, bytes) = self.call(request, Bytes::new(), deadline, turn).await?;
            all.extend_from_slice(&self.exactly(bytes, part.bytes)?);
            done += part.bytes;
        }
        Ok(all)
    }

    /// Compiles a pipeline, or finds it compiled. The layout says what a dispatch must bind.
    ///
    /// # Errors
    /// `shader` with a place, `invalid` for a wrong entry point or constant, `limit`, `timed-out` for a driver that
    /// compiles too long, `device-lost`. The time that checking and compiling take counts as device time.
    pub async fn compile(&self, source: Source) -> Result<(PipelineId, Reflection), Error> {
        let turn = self.told_turn().await?;
        let deadline = self.shared.options.compile_deadline;
        let reserved = self.reserve(deadline)?;
        let started = Instant::now();
        let checked = self.shared.checker.check(&self.shared.options, &self.info(), &source).await;
        let checking =
            if checked.as_ref().is_ok_and(|passed| passed.known) { Duration::ZERO } else { started.elapsed() };
        let added = checked.and_then(|passed| {
            let pipeline = self.state.lock().ledger.add_pipeline(passed.reflection.clone())?;
            Ok((pipeline, passed))
        });
        let (pipeline, passed) = added.inspect_err(|_| self.settle(reserved, checking))?;
        let reflection = passed.reflection;
        let request =
            Request::Compile { session: self.id, pipeline, key: passed.key, source, reflection: reflection.clone() };
        let result = self.call(request, Bytes::new(), deadline, turn).await;
        self.settle(reserved, checking + used(&result, started.elapsed(), deadline));
        match result {
            Ok(_) => Ok((pipeline, reflection)),
            Err(error) => {
                let _ = self.state.lock().ledger.drop_pipeline(pipeline);
                Err(error)
            }
        }
    }

    /// Forgets a pipeline. When the device turns out to be lost, the next call says so.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub async fn drop_pipeline(&self, pipeline: PipelineId) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.state.lock().ledger.drop_pipeline(pipeline)?;
        self.give_back(Request::DropPipeline { session: self.id, pipeline }, turn).await
    }

    /// Runs commands in order, each seeing what those before it wrote, then reads ranges; returns when the device is
    /// done. Nothing runs when any of it is refused.
    ///
    /// # Errors
    /// `invalid`, `limit` (also `device-time` when the grant is used up), `timed-out`, `device-lost`.
    pub async fn submit(&self, commands: Vec<Command>, reads: Vec<Range>) -> Result<Outcome, Error> {
        let turn = self.told_turn().await?;
        self.state.lock().ledger.check_submit(&commands, &reads)?;
        let deadline = self.grant.submit_deadline;
        let reserved = self.reserve(deadline)?;
        let lengths: Vec<u64> = reads.iter().map(|range| range.bytes).collect();
        let request = self.submit_request(commands, reads, deadline);
        let started = Instant::now();
        let result = self.call(request, Bytes::new(), deadline, turn).await;
        let wall = started.elapsed();
        let used = used(&result, wall, deadline);
        self.settle(reserved, used);
        let (_, bytes) = result?;
        let mut bytes = Bytes::from(self.exactly(bytes, lengths.iter().sum())?);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let stats = Stats { device_ns: nanos(used), queue_ns: nanos(wall.saturating_sub(used)) };
        Ok(Outcome { stats, reads: lengths.into_iter().map(|len| bytes.split_to(len as usize)).collect() })
    }

    /// Ends the session and waits until the device has zeroed and freed what it had.
    pub async fn close(mut self) {
        let (done, freed) = oneshot::channel();
        self.end(Some(done));
        let _ = freed.await;
    }

    fn end(&mut self, done: Option<oneshot::Sender<()>>) {
        if !std::mem::replace(&mut self.closed, true) {
            let ending = Ending { session: self.id, bytes: self.grant.total_bytes, done };
            // Fails only when the owner is gone, and the device with it.
            let _ = self.shared.endings.try_send(ending);
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.turns.clone().acquire_owned().await.map_err(|_| Error::DeviceLost("the session is closed".into()))
    }

    /// The turn of a call that can be told of a loss.
    async fn told_turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = self.turn().await?;
        self.told().map(|()| turn)
    }

    /// Tells a loss that nobody was told of yet.
    fn told(&self) -> Result<(), Error> {
        self.state.lock().untold.take().map_or(Ok(()), Err)
    }

    async fn give_back(&self, request: Request, turn: OwnedSemaphorePermit) -> Result<(), Error> {
        // Who has nothing else loses nothing.
        let has_more = !self.state.lock().ledger.is_empty();
        match self.housekeep(request, Bytes::new(), turn).await {
            Err(loss @ Error::DeviceLost(_)) => {
                self.state.lock().untold = Some(loss).filter(|_| has_more);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Counts device time in advance.
    fn reserve(&self, deadline: Duration) -> Result<Reserved, Error> {
        self.state.lock().meter.reserve(deadline).ok_or_else(|| {
            let limit = u64::try_from(self.grant.device_time.as_millis()).unwrap_or(u64::MAX);
            Error::Limit { name: "device-time-ms".into(), value: limit.saturating_add(1), limit }
        })
    }

    /// Gives back what of a reservation was not used.
    fn settle(&self, reserved: Reserved, used: Duration) {
        self.state.lock().meter.settle(reserved, used);
    }

    fn submit_request(&self, commands: Vec<Command>, reads: Vec<Range>, deadline: Duration) -> Request {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        Request::Submit { session: self.id, commands, reads, deadline_ms }
    }

    async fn housekeep(&self, request: Request, bytes: Bytes, turn: OwnedSemaphorePermit) -> Result<(), Error> {
        self.call(request, bytes, self.shared.options.transfer_deadline, turn).await.map(|_| ())
    }

    /// Sends a request and waits for what comes of it. A loss empties the ledger.
    async fn call(
        &self,
        request: Request,
        bytes: Bytes,
        deadline: Duration,
        turn: OwnedSemaphorePermit,
    ) -> Result<(u64, Vec<u8>), Error> {
        let (answer, answered) = oneshot::channel();
        let epoch = self.state.lock().epoch;
        let on_deadline = match request {
            Request::Submit { .. } | Request::Compile { .. } => self.grant.on_deadline.clone(),
            // Whatever takes long there is not the guest's.
            _ => OnDeadline::default(),
        };
        let job = Job { epoch, request, bytes, deadline, on_deadline, answer, _turn: turn };
        let gone = || Error::DeviceLost("the node is shutting down".into());
        let result = match self.shared.jobs.send(job).await {
            Ok(()) => answered.await.map_err(|_| gone()),
            Err(_) => Err(gone()),
        };
        let mut state = self.state.lock();
        let outcome = match result {
            Ok(Answer { epoch, outcome }) => {
                state.epoch = Some(epoch);
                outcome
            }
            Err(error) => Err(error),
        };
        if let Err(Error::DeviceLost(_) | Error::TimedOut { .. }) = &outcome {
            state.ledger.forget();
        }
        // Who has nothing can lose nothing.
        if state.ledger.is_empty() {
            state.epoch = None;
        }
        outcome
    }

    /// A worker that sends too much or too little is not believed.
    fn exactly(&self, bytes: Vec<u8>, wanted: u64) -> Result<Vec<u8>, Error> {
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        Err(Error::DeviceLost(format!("{} bytes came back where {wanted} were asked for", bytes.len())))
    }
}

/// Device time of a call that was given until `deadline`. A worker can't have worked longer than we waited for it.
fn used(result: &Result<(u64, Vec<u8>), Error>, wall: Duration, deadline: Duration) -> Duration {
    match result {
        Ok((device_ns, _)) => Duration::from_nanos(*device_ns).min(wall).min(deadline),
        Err(Error::TimedOut { .. }) => deadline,
        Err(_) => Duration::ZERO,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(None);
    }
}
