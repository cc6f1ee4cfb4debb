//! Runs one call of a task or command: a new instance, the export of the stage, and the result.

use crate::{
    bindings::{
        exports::fabric::task::handler::{Request, Response},
        fabric::task::types,
    },
    call::{CallReport, CallShared, CallSpec, OpenCall, SlotWait, open},
    fault::{FaultError, WorkUnit},
    host::Inner,
    load::{Linked, Loaded, TaskPre},
    logs::LogSink,
    output::Output,
    source::{MemorySource, PartSource},
};
use bytes::Bytes;
use fabric_types::{Code, Cost, Fault, function::EntryKind, limits::Limits};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::component::ComponentExportIndex;
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
    fn unit(&self) -> WorkUnit {
        match self {
            Self::Handler { .. } => WorkUnit::Call,
            Self::Map | Self::Reduce => WorkUnit::Task,
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
    /// Cost of the call.
    pub cost: Cost,
    /// Bytes logged.
    pub log_bytes: u64,
}

impl TaskReport {
    /// Returns the report of a call that failed before its instance was created.
    fn not_started(fault: Fault) -> Self {
        Self { result: Err(fault), cost: Cost::default(), log_bytes: 0 }
    }
}

/// Runs a call to completion.
pub(crate) async fn run(inner: &Arc<Inner>, loaded: &Loaded, call: TaskCall) -> TaskReport {
    let TaskCall { stage, input, params, limits, seed, buckets, logs, progress, cancel, deadline, slot_wait } = call;
    if let TaskStage::Handler { body, .. } = &stage
        && body.len() as u64 > limits.body_bytes.0
    {
        let message = format!("the request has {} bytes, the function takes {}", body.len(), limits.body_bytes.0);
        return TaskReport::not_started(Fault::new(Code::TooLarge, message));
    }
    let command = loaded.deployment.entry.kind == EntryKind::Command;
    let source: Option<Box<dyn PartSource>> = match &stage {
        TaskStage::Handler { body, .. } if command => Some(Box::new(MemorySource::one("request", body.clone()))),
        TaskStage::Handler { .. } => None,
        _ => Some(input),
    };
    let lines = command && stage == TaskStage::Map;
    let output = Output::new(limits.output_bytes.0, limits.emit_bytes.0, buckets, lines);
    let shared = inner.call_shared(loaded, &limits, output, logs);
    let observer = inner.observer.clone();
    let spec = CallSpec {
        seed,
        params,
        source,
        progress,
        observer,
        slot_wait,
        cancel,
        deadline,
        ..CallSpec::new(loaded, stage.unit(), stage.name(), limits)
    };
    let mut call = match open(inner, spec, shared).await {
        Ok(call) => call,
        Err(fault) => return TaskReport::not_started(fault),
    };
    let bounds = call.bounds.clone();
    let end = bounds.run(call_guest(&mut call, stage)).await;
    let CallReport { result, cost, log_bytes } = call.finish(end, |shared, ()| read_output(shared));
    let bytes_out = result.as_ref().map_or(0, |output| output.bytes.len() as u64);
    TaskReport { result, cost: Cost { bytes_out, ..cost }, log_bytes }
}

fn read_output(shared: &CallShared) -> Result<TaskOutput, Fault> {
    let output = std::mem::replace(&mut *shared.output.lock(), Output::discard());
    let (bytes, content_type, buckets) = output.finish()?;
    Ok(TaskOutput { bytes, content_type, buckets })
}

/// Runs the export of the stage in a new instance.
async fn call_guest(call: &mut OpenCall, stage: TaskStage) -> wasmtime::Result<()> {
    let prepared = call.prepared.clone();
    match &prepared.linked {
        Linked::Task(task) => call_task(task, call, stage).await,
        Linked::Command(pre) => {
            let command = pre.instantiate_async(call.ready_store()?).await?;
            call.instantiated();
            match command.wasi_cli_run().call_run(call.store()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(())) => Err(I32Exit(1).into()),
                Err(error) => exited(error),
            }
        }
        Linked::Preview1(pre) => {
            let instance = pre.instantiate_async(call.ready_store()?).await?;
            call.instantiated();
            let start = instance.get_typed_func::<(), ()>(call.store(), "_start")?;
            start.call_async(call.store(), ()).await.or_else(exited)
        }
        Linked::Http(_) => Err(FaultError::error(
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

async fn call_task(task: &TaskPre, call: &mut OpenCall, stage: TaskStage) -> wasmtime::Result<()> {
    let instance = task.pre.instantiate_async(call.ready_store()?).await?;
    call.instantiated();
    let store = call.store();
    let missing = |what: &str| {
        FaultError::error(Fault::new(Code::NoEntry, format!("the function exports no {what}")).hint(
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
        type HandlerResult = (Result<Response, types::Error>,);
        let handle = instance.get_typed_func::<(Request,), HandlerResult>(&mut *store, &index)?;
        // Charges the copy of the body that is passed to the guest.
        store.data().shared.memory.grow(body.len() as u64).map_err(FaultError::error)?;
        let request = Request { content_type, body: body.into() };
        let (answer,) = handle.call_async(&mut *store, (request,)).await?;
        let response = answer.map_err(reported)?;
        let mut output = store.data().shared.output.lock();
        output.set(response.body).map_err(FaultError::error)?;
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
    FaultError::error(match error {
        types::Error::InvalidInput(text) => Fault::new(Code::InvalidInput, cut(text)),
        types::Error::Retryable(text) => Fault::new(Code::FunctionRetryable, cut(text)),
        types::Error::Failed(text) => Fault::new(Code::FunctionFailed, cut(text)),
    })
}
