//! Sessions: the use of the GPU by one guest instance. Every call is validated in this process before it is sent to the
//! worker.

use super::{
    gpu::Shared,
    meter::{Meter, Reserved},
    owner::{Answer, Ending, Job},
};
use crate::{
    AdapterInfo, Error, Grant, Ledger, OnDeadline, SubmitStats,
    command::{BufferId, ByteRange, GpuCommand, PipelineId, Reflection},
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

/// Result of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitOutcome {
    /// Cost of the submit.
    pub stats: SubmitStats,
    /// The bytes of each requested range, in order.
    pub reads: Vec<Bytes>,
}

/// Buffers and pipelines of one guest instance, within its grant.
///
/// Calls of one session run sequentially. If a call's future is dropped after the call has begun, the call may still
/// run. A dropped submit or compilation is charged its whole deadline. Dropping the session frees all buffers and
/// pipelines.
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
    /// Epoch of the worker that holds the ledger's entries.
    epoch: Option<u64>,
    meter: Meter,
    /// A loss detected while a handle was dropped. Callers ignore errors of such calls, so the next call reports the
    /// loss.
    untold: Option<Error>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, id: u64, grant: Grant) -> Self {
        let limits = shared.status.info.lock().limits.clone();
        let ledger = Ledger::new(limits, grant.total_bytes);
        let state = Mutex::new(State { ledger, epoch: None, meter: Meter::new(grant.device_time), untold: None });
        Self { shared, id, grant, turns: Arc::new(Semaphore::new(1)), state, closed: false }
    }

    /// Returns the adapter, as [`Gpu::info`](crate::Gpu::info).
    #[must_use]
    pub fn info(&self) -> AdapterInfo {
        self.shared.status.info.lock().clone()
    }

    /// Returns the limits of this session.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns the remaining device time of the grant.
    #[must_use]
    pub fn device_time_left(&self) -> Duration {
        self.state.lock().meter.left()
    }

    /// Returns the device time spent. A dropped call counts with its whole deadline. The call that exhausted the grant
    /// may have taken longer than the remaining time.
    #[must_use]
    pub fn device_time_spent(&self) -> Duration {
        self.state.lock().meter.spent()
    }

    /// Creates a zeroed buffer of `bytes`, rounded up to a multiple of 4.
    ///
    /// # Errors
    /// `invalid` for 0 bytes, `limit`, `out-of-memory`, `device-lost`.
    pub async fn create(&self, bytes: u64) -> Result<BufferId, Error> {
        let turn = self.told_turn().await?;
        let (buffer, bytes) = self.state.lock().ledger.create(bytes)?;
        let outcome = self.housekeep(Request::Create { session: self.id, buffer, bytes }, Bytes::new(), turn).await;
        if outcome.is_err() {
            // The entry may already have been removed with the device.
            let _ = self.state.lock().ledger.destroy(buffer);
        }
        outcome.map(|()| buffer)
    }

    /// Zeroes and frees a buffer. If the device turns out to be lost, the next call reports it.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub async fn destroy(&self, buffer: BufferId) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.state.lock().ledger.destroy(buffer)?;
        self.give_back(Request::Destroy { session: self.id, buffer }, turn).await
    }

    /// Returns a buffer's size, in bytes.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub fn size(&self, buffer: BufferId) -> Result<u64, Error> {
        self.state.lock().ledger.size(buffer)
    }

    /// Writes bytes into a buffer. Offset and length are multiples of 4. Later calls observe the write.
    ///
    /// # Errors
    /// `invalid` for a range outside the buffer, `device-lost`.
    pub async fn write(&self, buffer: BufferId, mut offset: u64, mut bytes: Bytes) -> Result<(), Error> {
        self.told()?;
        self.state.lock().ledger.check_range(ByteRange { buffer, offset, bytes: bytes.len() as u64 })?;
        while !bytes.is_empty() {
            let turn = self.told_turn().await?;
            // Another call of this session may have run in between.
            self.state.lock().ledger.check_range(ByteRange { buffer, offset, bytes: bytes.len() as u64 })?;
            let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES as usize));
            let len = chunk.len() as u64;
            self.housekeep(Request::Write { session: self.id, buffer, offset }, chunk, turn).await?;
            offset += len;
        }
        Ok(())
    }

    /// Reads a range, after all earlier calls have taken effect. Offset and length are multiples of 4.
    ///
    /// # Errors
    /// `invalid` for a range outside the buffer, `device-lost`.
    pub async fn read(&self, range: ByteRange) -> Result<Vec<u8>, Error> {
        self.told()?;
        self.state.lock().ledger.check_range(range)?;
        let chunk = self.info().limits.read_bytes.min(CHUNK_BYTES);
        let mut all = Vec::with_capacity(usize::try_from(range.bytes).unwrap_or(0));
        let mut done = 0;
        while done < range.bytes {
            let part = ByteRange { offset: range.offset + done, bytes: chunk.min(range.bytes - done), ..range };
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

    /// Compiles a pipeline, or returns it from the cache. The reflection lists the bindings that a dispatch must
    /// provide.
    ///
    /// # Errors
    /// `shader` with a location, `invalid` for an unknown entry point or constant, `limit`, `timed-out` if the driver
    /// takes too long to compile, `device-lost`. The time of checking and compiling counts as device time.
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

    /// Drops a pipeline. If the device turns out to be lost, the next call reports it.
    ///
    /// # Errors
    /// `invalid` for a stale handle.
    pub async fn drop_pipeline(&self, pipeline: PipelineId) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.state.lock().ledger.drop_pipeline(pipeline)?;
        self.give_back(Request::DropPipeline { session: self.id, pipeline }, turn).await
    }

    /// Runs commands in order, then reads ranges. Each command observes the writes of the ones before it. Returns when
    /// the device is done. If any command or range is refused, nothing runs.
    ///
    /// # Errors
    /// `invalid`, `limit` (`device-time-ms` if the grant is exhausted), `timed-out`, `device-lost`.
    pub async fn submit(&self, commands: Vec<GpuCommand>, reads: Vec<ByteRange>) -> Result<SubmitOutcome, Error> {
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
        let stats = SubmitStats { device_ns: nanos(used), queue_ns: nanos(wall.saturating_sub(used)) };
        Ok(SubmitOutcome { stats, reads: lengths.into_iter().map(|len| bytes.split_to(len as usize)).collect() })
    }

    /// Ends the session and waits until the device has zeroed and freed its buffers.
    pub async fn close(mut self) {
        let (done, freed) = oneshot::channel();
        self.end(Some(done));
        let _ = freed.await;
    }

    fn end(&mut self, done: Option<oneshot::Sender<()>>) {
        if !std::mem::replace(&mut self.closed, true) {
            let ending = Ending { session: self.id, bytes: self.grant.total_bytes, done };
            // Fails only if the owner task has ended, and the device with it.
            let _ = self.shared.endings.try_send(ending);
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.turns.clone().acquire_owned().await.map_err(|_| Error::DeviceLost("the session is closed".into()))
    }

    /// Acquires the permit for a call that can report a pending loss.
    async fn told_turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = self.turn().await?;
        self.told().map(|()| turn)
    }

    /// Reports a pending loss, if there is one.
    fn told(&self) -> Result<(), Error> {
        self.state.lock().untold.take().map_or(Ok(()), Err)
    }

    async fn give_back(&self, request: Request, turn: OwnedSemaphorePermit) -> Result<(), Error> {
        // A session without other state has lost nothing.
        let has_more = !self.state.lock().ledger.is_empty();
        match self.housekeep(request, Bytes::new(), turn).await {
            Err(loss @ Error::DeviceLost(_)) => {
                self.state.lock().untold = Some(loss).filter(|_| has_more);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Charges device time in advance.
    fn reserve(&self, deadline: Duration) -> Result<Reserved, Error> {
        self.state.lock().meter.reserve(deadline).ok_or_else(|| {
            let limit = u64::try_from(self.grant.device_time.as_millis()).unwrap_or(u64::MAX);
            Error::Limit { name: "device-time-ms".into(), value: limit.saturating_add(1), limit }
        })
    }

    /// Refunds the unused part of a reservation.
    fn settle(&self, reserved: Reserved, used: Duration) {
        self.state.lock().meter.settle(reserved, used);
    }

    fn submit_request(&self, commands: Vec<GpuCommand>, reads: Vec<ByteRange>, deadline: Duration) -> Request {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        Request::Submit { session: self.id, commands, reads, deadline_ms }
    }

    async fn housekeep(&self, request: Request, bytes: Bytes, turn: OwnedSemaphorePermit) -> Result<(), Error> {
        self.call(request, bytes, self.shared.options.transfer_deadline, turn).await.map(|_| ())
    }

    /// Sends a request and waits for its result. A loss empties the ledger.
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
            // A slow transfer is not a guest fault.
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
        // A session without state cannot lose any.
        if state.ledger.is_empty() {
            state.epoch = None;
        }
        outcome
    }

    /// Checks the length of a worker's reply.
    fn exactly(&self, bytes: Vec<u8>, wanted: u64) -> Result<Vec<u8>, Error> {
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        Err(Error::DeviceLost(format!("the worker returned {} bytes instead of {wanted}", bytes.len())))
    }
}

/// Returns the device time of a call with this deadline. The worker's value is capped by the wall-clock time of the
/// call.
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
