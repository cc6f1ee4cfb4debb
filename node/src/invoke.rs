//! Synchronous invocations: each runs in a new sandbox and returns its result directly.

use crate::{
    api::{Invoke, Invoked, NodeState, REMEMBERED_MAX, now_ms},
    function_logs::FunctionLogs,
    inline_then_pool,
    running::Entry,
    work,
};
use bytes::Bytes;
use fabric_host::{PartSource, TaskCall, TaskReport, TaskStage, source::EmptySource};
use fabric_types::{
    Code, Cost, Fault, canonical,
    digest::{ContentDigest, TaskKey},
    function::{Deployment, EntryKind},
    job::{StageKind, TaskId},
    rest::{
        invocation::{Invocation, InvocationState},
        node::UsageLine,
    },
    task_key::Keyer,
    work::{OutputRef, TaskInput},
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// A cached result of an earlier call.
#[derive(Clone)]
pub struct Remembered {
    /// The result.
    pub body: Bytes,
    /// The result's media type.
    pub content_type: Option<String>,
}

/// Returns the stage and input for a request to a function that is not an http function. A handler or command receives
/// the body as its request, a mapper as its only partition.
pub fn stage(deployment: &Deployment, body: Bytes, content_type: Option<String>) -> (TaskStage, Box<dyn PartSource>) {
    let entry = deployment.entry;
    if entry.handler || entry.kind == EntryKind::Command {
        (TaskStage::Handler { body, content_type }, Box::new(EmptySource))
    } else {
        (TaskStage::Map, work::body_source(body))
    }
}

/// Returns the key of the call's result, before the GPU adapter is added.
fn key(shared: &NodeState, deployment: &Deployment, call: &Invoke, params: &str) -> TaskKey {
    let fingerprint = shared.host.fingerprint(deployment.engine_class());
    let keyer = Keyer::new(deployment, StageKind::Invoke, 0, params, fingerprint, &call.id.as_job());
    let digest = ContentDigest::of(&call.body);
    let body = OutputRef { key: TaskKey(digest.0), digest, len: call.body.len() as u64 };
    keyer.key(TaskId { stage: 0, index: 0 }, &TaskInput::Body { body, content_type: call.content_type.clone() })
}

/// Runs a call, or answers it from the cache if a pure function was called with the same input before.
///
/// # Errors
/// The guest's fault, `too-many-requests`, or the fault that prevented the call.
pub async fn invoke(shared: &Arc<NodeState>, deployment: &Arc<Deployment>, call: Invoke) -> Result<Invoked, Fault> {
    let limits = shared.call_limits(deployment)?;
    let permit = shared.permit(deployment, &limits)?;
    let created_ms = now_ms();
    let params: Arc<str> = if call.params.is_empty() { "{}".into() } else { canonical::object(&call.params).into() };
    let key = key(shared, deployment, &call, &params);
    let result = shared.result_key(deployment, key).await;
    if deployment.is_pure()
        && !call.fresh
        && let Some(known) = shared.remembered.get(&(deployment.tenant.clone(), result)).await
    {
        shared.metrics.invoke_cache_hits.inc();
        let usage = UsageLine { cached: 1, ..UsageLine::default() };
        shared.notes.add_usage(&deployment.tenant, &deployment.function, &usage);
        return Ok(Invoked { body: known.body, content_type: known.content_type, cost: Cost::default(), cached: true });
    }
    shared.killers.check(&deployment.module, created_ms)?;
    let mut place = shared.running.place();
    place.note(&call_entry(deployment));
    let loaded = shared.load(deployment).await?;
    let function = deployment.function.clone();
    let logs = FunctionLogs::new(shared.notes.clone(), deployment.tenant.clone(), call.id.clone(), function, None);
    let (stage, source) = stage(deployment, call.body, call.content_type);
    let cancel = CancellationToken::new();
    let task = TaskCall {
        cancel: cancel.clone(),
        params,
        limits,
        seed: key.0,
        logs: Some(logs.clone()),
        progress: Some({
            let logs = logs.clone();
            Arc::new(move |completed, total| logs.progress(completed, total))
        }),
        input: source,
        ..TaskCall::new(stage, EmptySource)
    };
    let threads = shared.guest_handle()?;
    let host = shared.host.clone();
    let span = tracing::debug_span!(
        "invocation",
        tenant = %deployment.tenant,
        invocation_id = %call.id,
        function = %deployment.function,
        version = deployment.version,
        node_id = %shared.id,
        module_digest = %deployment.module,
    );
    // A guest may outlive its caller for a moment. Its usage until then is still recorded.
    let recorder = Arc::clone(shared);
    let (called, id) = (Arc::clone(deployment), call.id);
    let guest = async move {
        let report = host.run_task(&loaded, task).await;
        drop((place, permit));
        record(&recorder, &called, &id, created_ms, &report, &logs);
        report
    }
    .instrument(span);
    let report = inline_then_pool::run(threads, cancel, guest).await;
    let report = report.ok_or_else(|| Fault::new(Code::Unavailable, "the node is shutting down"))?;
    let output = report.result?;
    if deployment.is_pure() {
        // A copy, since the result itself is charged to the tenant as long as it exists.
        let body = if output.bytes.len() > REMEMBERED_MAX { None } else { Some(Bytes::copy_from_slice(&output.bytes)) };
        if let Some(body) = body {
            let known = Remembered { body, content_type: output.content_type.clone() };
            shared.remembered.insert((deployment.tenant.clone(), result), known).await;
        }
    }
    Ok(Invoked { body: output.bytes, content_type: output.content_type, cost: report.cost, cached: false })
}

/// Returns the entry that records a running call.
pub fn call_entry(deployment: &Deployment) -> Entry {
    Entry::Call { tenant: deployment.tenant.clone(), function: deployment.function.clone(), module: deployment.module }
}

fn record(
    shared: &NodeState,
    deployment: &Deployment,
    id: &fabric_types::id::InvocationId,
    created_ms: u64,
    report: &TaskReport,
    logs: &FunctionLogs,
) {
    let (bytes, content_type, error) = match &report.result {
        Ok(output) => (Some(output.bytes.len() as u64), output.content_type.clone(), None),
        Err(fault) => {
            logs.fault(fault);
            (None, None, Some(fault.clone()))
        }
    };
    let state = InvocationState::of(error.as_ref());
    let usage = UsageLine {
        invocations: 1,
        failed: u64::from(state == InvocationState::Failed),
        cancelled: u64::from(state == InvocationState::Cancelled),
        cost: report.cost,
        ..UsageLine::default()
    };
    shared.notes.add_usage(&deployment.tenant, &deployment.function, &usage);
    shared.note_invocation(
        &deployment.tenant,
        Invocation {
            id: id.clone(),
            function: deployment.function.clone(),
            version: deployment.version,
            state,
            created_ms,
            ended_ms: Some(now_ms()),
            fuel: report.cost.fuel,
            gpu_us: report.cost.gpu_us,
            cached: false,
            result_bytes: bytes,
            content_type,
            result_url: None,
            error,
        },
    );
}
