//! Jobs: submit, list, watch, stop, bin.

use super::{
    estimate,
    invocations::{Wait, patience},
};
use crate::{
    Error,
    access::Caller,
    body::{self, LARGE_JSON, SMALL_JSON},
    charged::{self, collect},
    clock,
    error::Result,
    extract::{self, Ask, At, Input},
    state::App,
};
use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    response::{IntoResponse as _, Response, sse::Event},
};
use fabric_driver::{Submission, TaskFilter, Work};
use fabric_index::JobFilter;
use fabric_types::{
    Code, Fault,
    dataset::InputSpec,
    function::{Deployment, FunctionRef},
    id::{FunctionName, JobId, TenantId},
    job::{JobSpec, JobState, TaskState},
    rest::{
        Page,
        job::{Estimate, Job, JobEvent, JobPlan, JobsDeleted, Task},
    },
};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;

/// Whether only to plan.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// Work out what it would take and run nothing.
    dry_run: Option<bool>,
}

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
        _ => Err(extract::unsupported("application/json")),
    }
}

/// Items that are planned on the thread of the connection.
const QUICK_ITEMS: usize = 1000;

/// Whether planning an input takes no longer than reading it took.
pub(super) fn is_quick(input: &InputSpec) -> bool {
    matches!(input, InputSpec::Items(items) if items.len() <= QUICK_ITEMS)
}

/// Plans a job: at once where that is quick, else on a thread of its own when the tenant's turn comes.
pub(super) async fn planned<T, F>(app: &App, tenant: &TenantId, quick: bool, plan: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    // Boxed: plans are large, and are passed on by value.
    let plan = Box::pin(plan);
    let planned = if quick { plan.await } else { app.scans.drive(tenant, plan).await? };
    Ok(planned?)
}

/// Submits a job, as JSON or YAML.
#[utoipa::path(post, path = "/jobs", tag = "jobs", params(Submit), request_body = JobSpec, responses((status = 201, body = Job), (status = 200, description = "The plan, with `dry_run`", body = JobPlan)))]
pub async fn submit(
    State(app): State<App>,
    caller: Caller,
    Ask(ask): Ask<Submit>,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let kind = extract::media_type(&parts.headers);
    let body = collect(body, LARGE_JSON, &charged::payer(&parts.extensions)).await?;
    let spec = body::read(&app.checks, &caller.tenant, body, move |bytes| spec(&kind, bytes)).await?;
    let version = app.functions.resolve(&caller.tenant, &spec.function).await?;
    app.functions.check_params(&version, &spec.params).await?;
    // Each task would find it out by itself.
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

/// What a plan would take, by the function's earlier jobs.
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
    let slots = nodes.iter().filter(|node| node.state == "ready").map(|node| u64::from(node.cpu_slots)).sum();
    let prices = app.services.prices.as_ref();
    Ok(estimate::estimate(plan, spec, deployment.version, &earlier.items, slots, prices))
}

/// Plans a job whose parameters were checked, and takes it.
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

/// What to change in a job that runs again.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The function, as `name`, `name@version` or `name:alias`. Default: the version that the job ran.
    function: Option<FunctionRef>,
    /// Fuel that the new job may spend, as in a job spec. Default: as the job.
    #[serde(rename = "budget-fuel", deserialize_with = "fabric_types::count::option::deserialize")]
    budget_fuel: Option<u64>,
}

/// Submits a job that has ended once more, as a new job. Tasks that succeeded are served from the cache where the function is
/// pure and the version the same.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path)), request_body = Retry, responses((status = 201, body = Job)))]
pub async fn retry(State(app): State<App>, caller: Caller, At(id): At<JobId>, request: Request) -> Result<Response> {
    // No body at all means the same again.
    let (parts, body) = request.into_parts();
    let bytes = collect(body, SMALL_JSON, &charged::payer(&parts.extensions)).await?;
    let change = if bytes.is_empty() {
        Retry::default()
    } else {
        Input::<Retry>::from_request(Request::from_parts(parts, bytes.into()), &()).await?.0
    };
    let mut spec = app.driver()?.spec_again(&caller.tenant, &id).await?;
    spec.function = change.function.unwrap_or(spec.function);
    spec.budget_fuel = change.budget_fuel.or(spec.budget_fuel);
    let version = app.functions.resolve(&caller.tenant, &spec.function).await?;
    app.functions.check_params(&version, &spec.params).await?;
    app.services.node.policies().of(&caller.tenant).limits(&version.deployment)?;
    accept(&app, caller, spec, &version.deployment).await
}

/// What jobs to list. `state` may repeat or be a list with commas.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query to OpenAPI")]
pub struct Wanted {
    /// Where they stand; may repeat or be a list with commas.
    state: Option<String>,
    /// The function.
    function: Option<String>,
    /// A part of the name.
    name: Option<String>,
    /// A tag, whole.
    tag: Option<String>,
    /// How the id begins.
    id: Option<String>,
    /// Accepted at or after this, milliseconds since 1970.
    since_ms: Option<u64>,
    /// Accepted before this, milliseconds since 1970.
    until_ms: Option<u64>,
    /// Words that all occur.
    q: Option<String>,
    /// Those in the bin instead.
    deleted: Option<bool>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Jobs on a page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// A query over jobs, read.
#[derive(Default)]
struct Query {
    filter: JobFilter,
    cursor: Option<String>,
    limit: Option<usize>,
    now: bool,
    /// A key that is none.
    unknown: Option<String>,
}

fn query(uri: &http::Uri) -> Result<Query> {
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
            "now" => query.now = flag()?,
            "cursor" => query.cursor = Some(JobId::new(value).map_err(|_| super::cursor::foreign())?.to_string()),
            "limit" => query.limit = Some(usize::try_from(number()?).unwrap_or(1000).clamp(1, 1000)),
            // A list passes over keys that it does not know, as every other list; a deletion must not.
            _ => query.unknown = Some(key.chars().take(80).collect()),
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
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(Wanted), responses((status = 200, body = Page<Job>)))]
pub async fn list(State(app): State<App>, caller: Caller, uri: http::Uri) -> Result<Json<Page<Job>>> {
    Ok(Json(find(&app, &caller.tenant, query(&uri)?, 100).await?))
}

/// Deletes the ended jobs that a list with the same query shows, a page at a time: into the bin, or with `now` for good.
/// At least one of `state`, `function`, `name`, `tag`, `id`, `since_ms`, `until_ms`, `q` and `deleted` is needed.
#[utoipa::path(delete, path = "/jobs", tag = "jobs", params(Wanted, Deletion), responses((status = 200, body = JobsDeleted)))]
pub async fn delete_all(State(app): State<App>, caller: Caller, uri: http::Uri) -> Result<Json<JobsDeleted>> {
    let mut query = query(&uri)?;
    if let Some(key) = query.unknown {
        return Err(Error::bad(format!("`{key}` is no parameter of a deletion: it would have no effect")));
    }
    if query.filter == JobFilter::default() {
        return Err(Error::bad("this would delete every job of the tenant")
            .hint("say which: state=succeeded, until_ms=…, function=…, tag=…"));
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
            // Somebody else was quicker.
            Err(fault) if fault.code == Code::NotFound => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(Json(JobsDeleted { deleted, next: page.next }))
}

/// One job; with `wait`, once it has ended.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path), Wait), responses((status = 200, body = Job)))]
pub async fn get(State(app): State<App>, caller: Caller, At(id): At<JobId>, Ask(ask): Ask<Wait>) -> Result<Json<Job>> {
    let driver = app.driver()?;
    let found = match ask.wait {
        Some(1..) => driver.wait(&caller.tenant, &id, patience(ask.wait)).await?,
        _ => driver.job(&caller.tenant, &id).await?,
    };
    found.map(Json).ok_or_else(|| Error::not_found("job", id))
}

/// Stops a job.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
pub async fn cancel(State(app): State<App>, caller: Caller, At(id): At<JobId>) -> Result<Json<Job>> {
    Ok(Json(app.driver()?.cancel(&caller.tenant, &id).await?))
}

/// How a job is deleted.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// Not into the bin, but for good, with its journal: what it takes on disk is free at once. Default false.
    #[serde(default)]
    now: bool,
}

/// Puts an ended job into the bin, or removes it for good.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path), Deletion), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    At(id): At<JobId>,
    Ask(deletion): Ask<Deletion>,
) -> Result<StatusCode> {
    if deletion.now {
        app.driver()?.purge(&caller.tenant, &id).await?;
    } else {
        app.driver()?.delete(&caller.tenant, &id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a job out of the bin.
#[utoipa::path(post, path = "/jobs/{id}/restore", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
pub async fn restore(State(app): State<App>, caller: Caller, At(id): At<JobId>) -> Result<Json<Job>> {
    Ok(Json(app.driver()?.restore(&caller.tenant, &id).await?))
}

/// How much to audit.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Per cent of the map tasks, above 0 up to 100. Default 5.
    sample: Option<f64>,
}

/// What an audit found.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Audit {
    /// Tasks that ran again.
    checked: u64,
    /// Of those, how many gave the same bytes.
    same: u64,
    /// Those that did not.
    differing: Vec<Task>,
}

/// Runs a sample of the map tasks again and compares digests.
#[utoipa::path(post, path = "/jobs/{id}/audit", tag = "jobs", params(("id" = String, Path), Sample), responses((status = 200, body = Audit)))]
pub async fn audit(
    State(app): State<App>,
    caller: Caller,
    At(id): At<JobId>,
    Ask(ask): Ask<Sample>,
) -> Result<Json<Audit>> {
    let percent = ask.sample.unwrap_or(5.0);
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(Error::bad("`sample` is above 0 and at most 100"));
    }
    let (checked, differing) =
        app.driver()?.audit(&caller.tenant, &id, percent, crate::clock::job_id(), &caller.name).await?;
    Ok(Json(Audit { checked, same: checked.saturating_sub(differing.len() as u64), differing }))
}

/// Events of a job; the stream ends after the last.
#[utoipa::path(get, path = "/jobs/{id}/events", tag = "jobs", params(("id" = String, Path), ("Last-Event-ID" = Option<u64>, Header)), responses((status = 200, body = JobEvent, content_type = "text/event-stream")))]
pub async fn events(State(app): State<App>, caller: Caller, At(id): At<JobId>, headers: HeaderMap) -> Result<Response> {
    let after = extract::text(&headers, "last-event-id").and_then(|t| t.parse().ok());
    let events = app.driver()?.events(&caller.tenant, &id, after).await?;
    let events =
        events.filter_map(|e| async move { Event::default().event(&e.kind).id(e.seq.to_string()).json_data(&e).ok() });
    super::streams::sse(&app, &caller, events)
}

/// What tasks to list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Tasks {
    /// Where they stand.
    state: Option<TaskState>,
    /// The stage, from 0.
    stage: Option<u16>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Tasks on a page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// Lists the tasks of a job.
#[utoipa::path(get, path = "/jobs/{id}/tasks", tag = "jobs", params(("id" = String, Path), Tasks), responses((status = 200, body = Page<Task>)))]
pub async fn tasks(
    State(app): State<App>,
    caller: Caller,
    At(id): At<JobId>,
    Ask(ask): Ask<Tasks>,
) -> Result<Json<Page<Task>>> {
    let filter = TaskFilter { state: ask.state, stage: ask.stage };
    let limit = ask.limit.unwrap_or(100).clamp(1, 1000);
    Ok(Json(app.driver()?.tasks(&caller.tenant, &id, filter, ask.cursor.as_deref(), limit).await?))
}
