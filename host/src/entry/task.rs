//! Runs one call of a task or command: a new instance, the export of the stage, and the result.

use crate::{
    bindings::{
        exports::fabric::task::handler::{Request, Response},
        fabric::task::types,
    },
    fault::{self, Stop, Unit},
    host::Inner,
    load::{Linked, Loaded, TaskPre},
    logs::LogSink,
    output::Output,
    scope::{Ended, Scope},
    source::{Memory, PartSource},
    state::{Setup, State},
};
use bytes::Bytes;
use fabric_types::{Code, Fault, function::EntryKind, limits::Limits};
use std::sync::{Arc, atomic::Ordering};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, component::ComponentExportIndex};
use wasmtime_wasi::I32Exit;

/// A callback for the progress of a task: completed steps and total steps, 0 if unknown.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// The stage of a call, which selects the export to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStage {
    /// Handle one request. A command reads the body from its standard input.
    Handler {
        /// The request's body.
        body: Bytes,
        /// Media type given by the caller.
        content_type: Option<String>,
    },
    /// Map the single input part.
    Map,
    /// Merge the input parts, or reduce the keyed part.
    Reduce,
}

impl TaskStage {
    fn unit(&self) -> Unit {
        match self {
            Self::Handler { .. } => Unit::Call,
            Self::Map | Self::Reduce => Unit::Task,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Handler { .. } => "handle",
            Self::Map => "map",
            Self::Reduce => "reduce",
        }
    }
}

/// The limit on waiting for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotWait {
    /// Up to [`crate::Options::slot_wait`], then the call fails with `unavailable`. For calls, which clients can retry.
    Bounded,
    /// Until a slot is free or the call is cancelled. For tasks, which are assigned to this node according to its
    /// slots.
    UntilCancelled,
}

/// Parameters of a call of a task or command.
pub struct TaskCall {
    /// Stage to run.
    pub stage: TaskStage,
    /// Input of the call.
    pub input: Box<dyn PartSource>,
    /// Parameters in canonical JSON.
    pub params: Arc<str>,
    /// Limits of the call. The host's own ceilings also apply.
    pub limits: Limits,
    /// Seed of a pure guest's randomness: the task key.
    pub seed: [u8; 32],
    /// Number of buckets for emitted records; 0 without a shuffle.
    pub buckets: u32,
    /// Receiver of log lines. `None` discards them.
    pub logs: Option<Arc<dyn LogSink>>,
    /// Receiver of progress reports.
    pub progress: Option<Progress>,
    /// Cancels the call, which then fails with `cancelled`.
    pub cancel: CancellationToken,
    /// Deadline in addition to the one in `limits`; the earlier one applies. The call then fails with `deadline`.
    pub deadline: Option<Instant>,
    /// Limit on waiting for a slot.
    pub slot_wait: SlotWait,
}

impl TaskCall {
    /// Creates a call with default limits and a bounded wait for a slot; without parameters, logs or cancellation.
    #[must_use]
    pub fn new(stage: TaskStage, input: impl PartSource + 'static) -> Self {
        Self {
            stage,
            input: Box::new(input),
            params: "{}".into(),
            limits: Limits::default(),
            seed: [0; 32],
            buckets: 0,
            logs: None,
            progress: None,
            cancel: CancellationToken::new(),
            deadline: None,
            slot_wait: SlotWait::Bounded,
        }
    }
}

/// The output of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutput {
    /// Bytes of the result. With a shuffle, one block in the format of [`crate::keyed`].
    pub bytes: Bytes,
    /// Media type, if the guest set one.
    pub content_type: Option<String>,
    /// With a shuffle, the start of each bucket in `bytes`, followed by the end of the block. Empty without a shuffle.
    pub buckets: Vec<u64>,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// The output, or the fault of a failed call.
    pub result: Result<TaskOutput, Fault>,
    /// Fuel spent.
    pub fuel: u64,
    /// Wall-clock time since the start of the instance, in microseconds.
    pub wall_us: u64,
    /// Input bytes read by the guest.
    pub bytes_in: u64,
    /// Bytes logged.
    pub log_bytes: u64,
    /// Device time of GPU submits, in microseconds.
    pub gpu_us: u64,
}

pub(crate) fn micros(start: std::time::Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn nothing(fault: Fault) -> TaskReport {
    TaskReport { result: Err(fault), fuel: 0, wall_us: 0, bytes_in: 0, log_bytes: 0, gpu_us: 0 }
}

/// Runs a call to completion.
pub(crate) async fn run(inner: &Inner, loaded: &Loaded, call: TaskCall) -> TaskReport {
    let slot = match inner.slot(&loaded.deployment, call.slot_wait, &call.cancel).await {
        Ok(slot) => slot,
        Err(fault) => return nothing(fault),
    };
    let gpu = match inner.gpu.access(&loaded.deployment).await {
        Ok(gpu) => gpu,
        Err(fault) => return nothing(fault),
    };
    let TaskCall { stage, input, params, limits, seed, buckets, logs, progress, cancel, deadline, .. } = call;
    if let TaskStage::Handler { body, .. } = &stage
        && body.len() as u64 > limits.body_bytes.0
    {
        let message = format!("the request has {} bytes, the function takes {}", body.len(), limits.body_bytes.0);
        return nothing(Fault::new(Code::TooLarge, message));
    }
    let kind = loaded.deployment.entry.kind;
    let command = kind == EntryKind::Command;
    let source: Option<Box<dyn PartSource>> = match &stage {
        TaskStage::Handler { body, .. } if command => Some(Box::new(Memory::one("request", body.clone()))),
        TaskStage::Handler { .. } => None,
        _ => Some(input),
    };
    let lines = command && stage == TaskStage::Map;
    let output = Output::new(limits.output_bytes.0, limits.emit_bytes.0, buckets, lines);
    let shared = inner.shared(output, logs, &limits, &loaded.deployment.tenant);
    let unit = stage.unit();
    let scope = Scope::new(&limits, unit, deadline, cancel);
    let setup =
        Setup { deployment: loaded.deployment.clone(), volumes: inner.volumes.clone(), seed, stage: stage.name() };
    let state = inner.state(setup, &limits, scope.clone(), shared.clone(), source, params, progress, loaded, gpu);
    let mut store = match inner.store(&loaded.prepared.engine, state, limits.fuel) {
        Ok(store) => store,
        Err(fault) => return nothing(fault),
    };
    let start = std::time::Instant::now();
    let ended = match store.data_mut().prepare(matches!(loaded.prepared.linked, Linked::Preview1(_))) {
        Ok(()) => scope.bound(call_guest(inner, loaded, &mut store, stage, start)).await,
        Err(fault) => Ended::GivenUp(fault),
    };
    let wall_us = micros(start);
    let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    drop(store);
    let gpu_us = shared.gpu_us.load(Ordering::Acquire);
    drop(slot);
    let log_bytes = {
        let mut logs = shared.logs.lock();
        logs.flush();
        logs.used()
    };
    let result = match ended {
        Ended::Returned(Ok(())) => finish(&shared),
        Ended::Returned(Err(error)) => {
            Err(fault::classify(&error, unit, shared.logs.lock().last_words(), &loaded.prepared.symbols))
        }
        Ended::GivenUp(fault) => Err(fault),
    };
    if let Some(observer) = &inner.observer {
        observer.called(kind, wall_us, fuel, result.is_ok());
        observer.used_gpu(gpu_us);
    }
    TaskReport {
        result: result.map_err(|fault| fault.with_fuel(fuel)),
        fuel,
        wall_us,
        bytes_in: shared.bytes_in.load(Ordering::Relaxed),
        log_bytes,
        gpu_us,
    }
}

fn finish(shared: &crate::state::Shared) -> Result<TaskOutput, Fault> {
    let output = std::mem::replace(&mut *shared.output.lock(), Output::new(0, 0, 0, false));
    let (bytes, content_type, buckets) = output.finish()?;
    Ok(TaskOutput { bytes, content_type, buckets })
}

async fn call_guest(
    inner: &Inner,
    loaded: &Loaded,
    store: &mut Store<State>,
    stage: TaskStage,
    start: std::time::Instant,
) -> wasmtime::Result<()> {
    let made = || inner.instantiated(loaded.deployment.entry.kind, start);
    match &loaded.prepared.linked {
        Linked::Task(task) => call_task(task, store, stage, made).await,
        Linked::Command(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            made();
            match command.wasi_cli_run().call_run(&mut *store).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(())) => Err(I32Exit(1).into()),
                Err(error) => exited(error),
            }
        }
        Linked::Preview1(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            made();
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            start.call_async(&mut *store, ()).await.or_else(exited)
        }
        Linked::Http(_) => Err(Stop::error(
            Fault::new(Code::BadRequest, "an http function is called over its own address, not as a task")
                .hint("send requests to /f/TENANT/FUNCTION/…"),
        )),
    }
}

/// Treats an exit with status 0 as success.
fn exited(error: wasmtime::Error) -> wasmtime::Result<()> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => Ok(()),
        _ => Err(error),
    }
}

async fn call_task(
    task: &TaskPre,
    store: &mut Store<State>,
    stage: TaskStage,
    made: impl FnOnce(),
) -> wasmtime::Result<()> {
    let instance = task.pre.instantiate_async(&mut *store).await?;
    made();
    let missing = |what: &str| {
        Stop::error(Fault::new(Code::NoEntry, format!("the function exports no {what}")).hint(
            "see what it exports with `fabric functions`; the SDK has #[fabric::map], #[fabric::reduce] and #[fabric::handler]",
        ))
    };
    let unit = |index: &Option<ComponentExportIndex>, what| index.ok_or_else(|| missing(what));
    let index = match &stage {
        TaskStage::Handler { .. } => unit(&task.handle, "handler")?,
        TaskStage::Map => unit(&task.map, "mapper")?,
        TaskStage::Reduce => unit(&task.reduce, "reducer")?,
    };
    if let TaskStage::Handler { body, content_type } = stage {
        type Answer = (Result<Response, types::Error>,);
        let handle = instance.get_typed_func::<(Request,), Answer>(&mut *store, &index)?;
        // Charges the copy of the body that is passed to the guest.
        store.data().shared.memory.grow(body.len() as u64).map_err(Stop::error)?;
        let request = Request { content_type, body: body.into() };
        let (answer,) = handle.call_async(&mut *store, (request,)).await?;
        let response = answer.map_err(reported)?;
        let mut output = store.data().shared.output.lock();
        output.set(response.body).map_err(Stop::error)?;
        output.content_type = response.content_type;
        return Ok(());
    }
    let function = instance.get_typed_func::<(), (Result<(), types::Error>,)>(&mut *store, &index)?;
    let (answer,) = function.call_async(&mut *store, ()).await?;
    answer.map_err(reported)
}

/// Converts an error that the guest returned to a fault.
fn reported(error: types::Error) -> wasmtime::Error {
    let cut = |mut text: String| {
        text.truncate(text.floor_char_boundary(8 << 10));
        text.replace('\0', "")
    };
    Stop::error(match error {
        types::Error::InvalidInput(text) => Fault::new(Code::InvalidInput, cut(text)),
        types::Error::Retryable(text) => Fault::new(Code::FunctionRetryable, cut(text)),
        types::Error::Failed(text) => Fault::new(Code::FunctionFailed, cut(text)),
    })
}

/// Calls a module's `describe` export, if it has one.
pub(crate) async fn describe(task: &TaskPre, store: &mut Store<State>) -> wasmtime::Result<Option<String>> {
    let Some(index) = &task.describe else { return Ok(None) };
    let instance = task.pre.instantiate_async(&mut *store).await?;
    let function = instance.get_typed_func::<(), (String,)>(&mut *store, index)?;
    Ok(Some(function.call_async(&mut *store, ()).await?.0))
}
