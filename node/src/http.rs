//! Requests to http functions.

use crate::{
    api::{HttpBody, NodeState, now_ms},
    function_logs::FunctionLogs,
    running::Place,
};
use bytes::Bytes;
use fabric_host::{HttpCall, HttpReport};
use fabric_types::{
    Fault,
    function::Deployment,
    id::InvocationId,
    rest::{
        invocation::{Invocation, InvocationState},
        node::UsageLine,
    },
};
use http_body_util::BodyExt as _;
use std::sync::Arc;

/// Runs one request in a new instance, inline in the connection's task.
///
/// # Errors
/// The fault that prevented a response from beginning. Later failures abort the body.
pub async fn handle<B>(
    shared: &Arc<NodeState>,
    deployment: &Arc<Deployment>,
    id: InvocationId,
    request: http::Request<B>,
) -> Result<http::Response<HttpBody>, Fault>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let limits = shared.call_limits(deployment)?;
    let permit = shared.permit(deployment, &limits)?;
    shared.killers.check(&deployment.module, now_ms())?;
    let mut place = shared.running.place();
    place.note(&crate::invoke::call_entry(deployment));
    let loaded = shared.load(deployment).await?;
    let function = deployment.function.clone();
    let logs = FunctionLogs::new(shared.notes.clone(), deployment.tenant.clone(), id.clone(), function, None);
    let call = HttpCall {
        logs: Some(logs.clone()),
        https: request.uri().scheme() == Some(&http::uri::Scheme::HTTPS),
        on_complete: Some(on_complete(shared.clone(), deployment.clone(), id, logs, (permit, place))),
        ..HttpCall::new(limits)
    };
    let response = shared.host.handle_http(&loaded, request, call).await?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// Returns a callback that records the outcome of a request after its body has ended.
fn on_complete(
    shared: Arc<NodeState>,
    deployment: Arc<Deployment>,
    id: InvocationId,
    logs: Arc<FunctionLogs>,
    room: (tokio::sync::OwnedSemaphorePermit, Place),
) -> Box<dyn FnOnce(HttpReport) + Send> {
    Box::new(move |report| {
        drop(room);
        let error = report.result.err();
        let state = InvocationState::of(error.as_ref());
        let usage = UsageLine {
            invocations: 1,
            failed: u64::from(state == InvocationState::Failed),
            cancelled: u64::from(state == InvocationState::Cancelled),
            cost: report.cost,
            ..UsageLine::default()
        };
        shared.notes.add_usage(&deployment.tenant, &deployment.function, &usage);
        if let Some(fault) = &error {
            logs.fault(fault);
        }
        // A record per request would cost more than the request, so only requests with log lines have one.
        if logs.any() {
            let now = now_ms();
            shared.note_invocation(
                &deployment.tenant,
                Invocation {
                    id,
                    function: deployment.function.clone(),
                    version: deployment.version,
                    state,
                    created_ms: now.saturating_sub(report.cost.wall_us / 1000),
                    ended_ms: Some(now),
                    fuel: report.cost.fuel,
                    gpu_us: report.cost.gpu_us,
                    cached: false,
                    result_bytes: None,
                    content_type: None,
                    result_url: None,
                    error,
                },
            );
        }
    })
}
