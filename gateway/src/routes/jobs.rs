//! Routes of jobs: submit, list, follow, cancel, delete.

use super::{estimate, invocations::poll_duration};
use crate::{
    Error,
    body::{self, LARGE_JSON, SMALL_JSON},
    caller::Caller,
    charged::{self, collect},
    clock,
    error::Result,
    extract::{self, JsonBody, PathParams, QueryParams},
    state::App,
};
use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    response::{IntoResponse as _, Response, sse::Event},
};
use fabric_api::{
    invocation::WaitParams,
    job::{AuditParams, AuditReport, DeleteParams, JobQuery, JobsDeleted, RetryRequest, SubmitParams, TaskQuery},
};
use fabric_driver::{Submission, TaskFilter, Work};
use fabric_index::JobFilter;
use fabric_types::{
    Code, Fault,
    dataset::InputSpec,
    function::Deployment,
    id::{FunctionName, JobId, TenantId},
    job::{JobSpec, JobState},
    rest::{
        Page,
        job::{Estimate, Job, JobEvent, JobPlan, Task},
    },
};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;

fn spec(kind: &str, bytes: &[u8]) -> Result<JobSpec> {
    match kind {
        "application/json" => body::json(bytes),
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            let wrong = |e| {
                Error::bad(format!("the YAML body is wrong: {e}")).hint(
                    "write plain YAML, without anchors, aliases, merge keys and tags; docs/limits.md lists its bounds",
                )
            };
            JobSpec::from_yaml(bytes).map_err(wrong)
        }
        _ => Err(Error::unsupported_media_type("application/json")),
    }
}

/// Maximum items that are planned on the thread of the connection.
const QUICK_ITEMS: usize = 1000;

/// Returns `true` if planning an input takes no longer than reading it.
pub(super) fn is_quick(input: &InputSpec) -> bool {
    matches!(input, InputSpec::Items(items) if items.len() <= QUICK_ITEMS)
}

/// Plans a job: at once if that is quick, else on a separate thread when the tenant's turn comes.
pub(super) async fn planned<T, F>(app: &App, tenant: &TenantId, quick: bool, plan: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    // Boxed, since plans are large and passed by value.
    let plan = Box::pin(plan);
    let planned = if quick { plan.await } else { app.scans.drive(tenant, plan).await? };
    Ok(planned?)
}

/// Submits a job, as JSON or YAML.
#[utoipa::path(post, path = "/jobs", tag = "jobs", params(SubmitParams), request_body = JobSpec, responses((status = 201, body = Job), (status = 200, description = "The plan, with `dry_run`", body = JobPlan)))]
pub async fn submit(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<SubmitParams>,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let kind = extract::media_type(&parts.headers);
    let body = collect(body, LARGE_JSON, &charged::payer(&parts.extensions)).await?;
    let spec = body::read(&app.checks, &caller.tenant, body, move |bytes| spec(&kind, bytes)).await?;
    let version = app.functions.resolve(&caller.tenant, &spec.function).await?;
    app.functions.check_params(&version, &spec.params).await?;
    // Fail here rather than in every task.
    app.services.node.policies().of(&caller.tenant).limits(&version.deployment)?;
    let driver = app.driver()?.clone();
    if ask.dry_run == Some(true) {
        let (tenant, quick) = (caller.tenant.clone(), is_quick(&spec.input));
        let (deployment, planner, asked) = (Arc::clone(&version.deployment), driver.clone(), spec.clone());
        let plan = async move { planner.plan(&tenant, &deployment, &asked).await };
        let mut plan = planned(&app, &caller.tenant, quick, plan).await?;
        plan.estimate = estimated(&app, &caller.tenant, &plan, &spec, &version.deployment).await?;
        return Ok(Json(plan).into_response());
    }
    accept(&app, caller, spec, &version.deployment).await
}

/// Estimates the cost of a plan from the function's earlier jobs.
async fn estimated(
    app: &App,
    tenant: &TenantId,
    plan: &JobPlan,
    spec: &JobSpec,
    deployment: &Deployment,
) -> Result<Option<Estimate>> {
    let filter = JobFilter {
        states: vec![JobState::Succeeded],
        function: Some(deployment.function.clone()),
        ..JobFilter::default()
    };
    let earlier = app.services.index.jobs(tenant, &filter, None, estimate::JOBS).await?;
    let nodes = app.driver()?.nodes().await?;
    let slots = nodes.iter().filter(|node| node.state == "ready").map(|node| u64::from(node.facts.cpu_slots)).sum();
    let prices = app.services.prices.as_ref();
    Ok(estimate::estimate(plan, spec, deployment.version, &earlier.items, slots, prices))
}

/// Plans and submits a job with parameters that were checked.
async fn accept(app: &App, caller: Caller, spec: JobSpec, deployment: &Arc<Deployment>) -> Result<Response> {
    let driver = app.driver()?.clone();
    let (tenant, quick) = (caller.tenant.clone(), is_quick(&spec.input));
    let submission = Submission {
        id: clock::job_id(),
        tenant: caller.tenant,
        submitter: caller.name,
        deployment: Arc::clone(deployment),
        work: Work::Map(spec),
    };
    let job = planned(app, &tenant, quick, async move { driver.submit(submission).await }).await?;
    let at = format!("/v1/jobs/{}", job.id);
    let mut response = (StatusCode::CREATED, Json(job)).into_response();
    if let Ok(at) = HeaderValue::try_from(at) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    Ok(response)
}

/// Submits an ended job again, as a new job. Tasks that succeeded are served from the cache if the function is pure and
/// the version is the same.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path)), request_body = RetryRequest, responses((status = 201, body = Job)))]
pub async fn retry(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    request: Request,
) -> Result<Response> {
    // An empty body means no changes.
    let (parts, body) = request.into_parts();
    let bytes = collect(body, SMALL_JSON, &charged::payer(&parts.extensions)).await?;
    let change = if bytes.is_empty() {
        RetryRequest::default()
    } else {
        JsonBody::<RetryRequest>::from_request(Request::from_parts(parts, bytes.into()), &()).await?.0
    };
    let mut spec = app.driver()?.resubmission_spec(&caller.tenant, &id).await?;
    spec.function = change.function.unwrap_or(spec.function);
    spec.budget_fuel = change.budget_fuel.or(spec.budget_fuel);
    let version = app.functions.resolve(&caller.tenant, &spec.function).await?;
    app.functions.check_params(&version, &spec.params).await?;
    app.services.node.policies().of(&caller.tenant).limits(&version.deployment)?;
    accept(&app, caller, spec, &version.deployment).await
}

/// A parsed query over jobs.
#[derive(Default)]
struct Query {
    filter: JobFilter,
    cursor: Option<String>,
    limit: Option<usize>,
    now: bool,
}

/// Reads a query. Only a deletion may have `now`.
fn query(uri: &http::Uri, is_deletion: bool) -> Result<Query> {
    let mut query = Query::default();
    let filter = &mut query.filter;
    for (key, value) in extract::pairs::<Vec<(String, String)>>(uri)? {
        let number = || value.parse::<u64>().map_err(|_| Error::bad(format!("`{key}` is a number")));
        let flag = || value.parse::<bool>().map_err(|_| Error::bad(format!("`{key}` is `true` or `false`")));
        match key.as_str() {
            "state" => {
                for state in value.split(',').filter(|s| !s.is_empty()) {
                    let state = serde_json::from_value::<JobState>(state.into())
                        .map_err(|_| Error::bad("`state` is queued, running, succeeded, failed or cancelled"))?;
                    filter.states.push(state);
                }
            }
            "function" => filter.function = Some(FunctionName::new(&value)?),
            "name" => filter.name = Some(value),
            "tag" => filter.tag = Some(value),
            "id" => filter.id_prefix = Some(value),
            "since_ms" => filter.since_ms = Some(number()?),
            "until_ms" => filter.until_ms = Some(number()?),
            "q" => filter.q = Some(value),
            "deleted" => filter.deleted = flag()?,
            "now" if is_deletion => query.now = flag()?,
            "cursor" => query.cursor = Some(JobId::new(value).map_err(|_| Error::invalid_cursor())?.to_string()),
            "limit" => query.limit = Some(usize::try_from(number()?).unwrap_or(1000).clamp(1, 1000)),
            _ => {
                let key: String = key.chars().take(80).collect();
                return Err(Error::bad(format!("`{key}` is not a parameter here"))
                    .hint("the API's document, /openapi.json, lists the parameters of each route"));
            }
        }
    }
    Ok(query)
}

async fn find(app: &App, tenant: &TenantId, query: Query, usual: usize) -> Result<Page<Job>> {
    let Query { filter, cursor, limit, .. } = query;
    let (index, whose) = (app.services.index.clone(), tenant.clone());
    let searches = filter.is_search();
    let page = async move { index.jobs(&whose, &filter, cursor.as_deref(), limit.unwrap_or(usual)).await };
    Ok(if searches { app.searches.drive(tenant, page).await?? } else { page.await? })
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobQuery), responses((status = 200, body = Page<Job>)))]
pub async fn list(State(app): State<App>, caller: Caller, uri: http::Uri) -> Result<Json<Page<Job>>> {
    Ok(Json(find(&app, &caller.tenant, query(&uri, false)?, 100).await?))
}

/// Deletes ended jobs that match the query, one page at a time: moves them to the bin, or with `now` removes them
/// permanently. At least one of `state`, `function`, `name`, `tag`, `id`, `since_ms`, `until_ms`, `q` and `deleted` is
/// required.
#[utoipa::path(delete, path = "/jobs", tag = "jobs", params(JobQuery, DeleteParams), responses((status = 200, body = JobsDeleted)))]
pub async fn delete_all(State(app): State<App>, caller: Caller, uri: http::Uri) -> Result<Json<JobsDeleted>> {
    let mut query = query(&uri, true)?;
    if query.filter == JobFilter::default() {
        return Err(Error::bad("this would delete every job of the tenant")
            .hint("select jobs: state=succeeded, until_ms=…, function=…, tag=…"));
    }
    let ended = |state: &JobState| state.is_terminal();
    if query.filter.states.is_empty() {
        query.filter.states = vec![JobState::Succeeded, JobState::Failed, JobState::Cancelled];
    } else if !query.filter.states.iter().all(ended) {
        return Err(Error::bad("only jobs that have ended can be deleted").hint("stop the others first"));
    }
    let (now, driver) = (query.now, app.driver()?.clone());
    let page = find(&app, &caller.tenant, query, 100).await?;
    let mut deleted = 0;
    for job in &page.items {
        let outcome = match now {
            true => driver.purge(&caller.tenant, &job.id).await,
            false => driver.delete(&caller.tenant, &job.id).await,
        };
        match outcome {
            Ok(()) => deleted += 1,
            // Another request deleted it first.
            Err(fault) if fault.code == Code::NotFound => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(Json(JobsDeleted { deleted, next: page.next }))
}

/// Returns one job. With `wait`, waits for its end.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path), WaitParams), responses((status = 200, body = Job)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(ask): QueryParams<WaitParams>,
) -> Result<Json<Job>> {
    let driver = app.driver()?;
    let found = match ask.wait {
        Some(1..) => driver.wait(&caller.tenant, &id, poll_duration(ask.wait)).await?,
        _ => driver.job(&caller.tenant, &id).await?,
    };
    found.map(Json).ok_or_else(|| Error::not_found("job", id))
}

/// Cancels a job.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
pub async fn cancel(State(app): State<App>, caller: Caller, PathParams(id): PathParams<JobId>) -> Result<Json<Job>> {
    Ok(Json(app.driver()?.cancel(&caller.tenant, &id).await?))
}

/// Moves an ended job to the bin, or removes it permanently.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path), DeleteParams), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(deletion): QueryParams<DeleteParams>,
) -> Result<StatusCode> {
    if deletion.now {
        app.driver()?.purge(&caller.tenant, &id).await?;
    } else {
        app.driver()?.delete(&caller.tenant, &id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a job from the bin.
#[utoipa::path(post, path = "/jobs/{id}/restore", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
pub async fn restore(State(app): State<App>, caller: Caller, PathParams(id): PathParams<JobId>) -> Result<Json<Job>> {
    Ok(Json(app.driver()?.restore(&caller.tenant, &id).await?))
}

/// Runs a sample of the map tasks again and compares digests.
#[utoipa::path(post, path = "/jobs/{id}/audit", tag = "jobs", params(("id" = String, Path), AuditParams), responses((status = 200, body = AuditReport)))]
pub async fn audit(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(ask): QueryParams<AuditParams>,
) -> Result<Json<AuditReport>> {
    let percent = ask.sample.unwrap_or(5.0);
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(Error::bad("`sample` is above 0 and at most 100"));
    }
    let (checked, differing) =
        app.driver()?.audit(&caller.tenant, &id, percent, crate::clock::job_id(), &caller.name).await?;
    Ok(Json(AuditReport { checked, same: checked.saturating_sub(differing.len() as u64), differing }))
}

/// Streams the events of a job. The stream ends after the last event.
#[utoipa::path(get, path = "/jobs/{id}/events", tag = "jobs", params(("id" = String, Path), ("Last-Event-ID" = Option<u64>, Header)), responses((status = 200, body = JobEvent, content_type = "text/event-stream")))]
pub async fn events(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    headers: HeaderMap,
) -> Result<Response> {
    let after = extract::text(&headers, "last-event-id").and_then(|t| t.parse().ok());
    let events = app.driver()?.events(&caller.tenant, &id, after).await?;
    let events =
        events.filter_map(|e| async move { Event::default().event(&e.kind).id(e.seq.to_string()).json_data(&e).ok() });
    super::streams::sse(&app, &caller, events)
}

/// Lists the tasks of a job.
#[utoipa::path(get, path = "/jobs/{id}/tasks", tag = "jobs", params(("id" = String, Path), TaskQuery), responses((status = 200, body = Page<Task>)))]
pub async fn tasks(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(ask): QueryParams<TaskQuery>,
) -> Result<Json<Page<Task>>> {
    let filter = TaskFilter { state: ask.state, stage: ask.stage };
    let limit = ask.items();
    Ok(Json(app.driver()?.tasks(&caller.tenant, &id, filter, ask.cursor.as_deref(), limit).await?))
}
