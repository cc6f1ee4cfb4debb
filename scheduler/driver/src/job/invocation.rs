//! Asynchronous invocations in the REST API: each is a job of one task.

use super::OpenJob;
use fabric_types::{
    Code, Fault,
    job::JobState,
    rest::invocation::{Invocation, InvocationState},
};

/// Returns the invocation view of a job of one task.
pub fn view(open_job: &OpenJob) -> Invocation {
    let meta = &open_job.planned.meta;
    let done = open_job.outputs().first().copied();
    let state = match open_job.state() {
        JobState::Queued => InvocationState::Queued,
        JobState::Running => InvocationState::Running,
        JobState::Succeeded => InvocationState::Succeeded,
        JobState::Failed => InvocationState::Failed,
        JobState::Cancelled => InvocationState::Cancelled,
    };
    let there = (state == InvocationState::Succeeded).then_some(done).flatten();
    let error = open_job.ended.as_ref().and_then(|e| e.error.clone());
    Invocation {
        id: meta.id.as_invocation(),
        function: meta.deployment.function.clone(),
        version: meta.deployment.version,
        state,
        created_ms: meta.created_ms,
        ended_ms: open_job.ended.as_ref().map(|e| e.at_ms),
        fuel: open_job.cost.fuel,
        gpu_us: open_job.cost.gpu_us,
        cached: open_job.cached > 0,
        result_bytes: there.map(|o| o.len),
        content_type: None,
        result_url: there.map(|_| format!("/v1/invocations/{}/result", meta.id)),
        error: error
            .or_else(|| (state == InvocationState::Cancelled).then(|| Fault::new(Code::Cancelled, "it was cancelled"))),
    }
}
