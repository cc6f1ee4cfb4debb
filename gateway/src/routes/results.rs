//! Routes of results: all results of a job, one of them, a window of lines, a search. No result is held in memory as a
//! whole.

use super::cursor::page;
use crate::{
    Error,
    caller::Caller,
    error::Result,
    extract::{PathParams, QueryParams, text},
    range::ByteRangeRequest,
    state::App,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fabric_api::{
    PageOptions,
    result::{Join, ResultInfo, ResultParams},
};
use fabric_results::OpenResult;
use fabric_types::{
    Fault,
    id::{JobId, TenantId},
    job::TaskId,
    rest::Page,
    work::OutputRef,
};
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Maximum bytes of a text window.
const MAX_TEXT: usize = 1 << 20;
/// Maximum bytes of a line; a longer one is cut.
const MAX_LINE: usize = 64 * 1024;
/// Maximum bytes that a search reads.
const MAX_SCAN: u64 = 1 << 30;

fn concatenated(
    app: &App,
    tenant: &TenantId,
    outputs: Vec<OutputRef>,
    join: Join,
) -> BoxStream<'static, Result<Bytes, Fault>> {
    let (results, tenant) = (app.services.results.clone(), tenant.clone());
    stream::iter(outputs)
        .then(move |output| {
            let (results, tenant) = (results.clone(), tenant.clone());
            async move { results.open(&tenant, &output, None).await.map(|open| joined(open, join)) }
        })
        .try_flatten()
        .boxed()
}

/// Returns a result's bytes, followed by the separator.
fn joined(open: OpenResult, join: Join) -> BoxStream<'static, Result<Bytes, Fault>> {
    if join == Join::Bytes || !open.content_type.as_deref().is_some_and(is_text) {
        return open.body;
    }
    let state = (open.body, None);
    stream::try_unfold(state, |(mut body, last)| async move {
        Ok(match body.try_next().await? {
            Some(bytes) => {
                let last = bytes.last().copied().or(last);
                Some((bytes, (body, last)))
            }
            None if last.is_some_and(|last| last != b'\n') => Some((Bytes::from_static(b"\n"), (body, None))),
            None => None,
        })
    })
    .boxed()
}

/// Returns `true` for media types of text and of JSON.
fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/") || kind == "application/json" || kind.ends_with("+json")
}

/// Sends one result, or the range of it that the headers request.
pub(super) async fn send(app: &App, tenant: &TenantId, output: &OutputRef, headers: &HeaderMap) -> Result<Response> {
    let etag = format!("\"{}\"", output.digest);
    if text(headers, "if-none-match").is_some_and(|have| have == "*" || have.split(',').any(|t| t.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    // The caller cannot combine a range with other bytes than those in If-Range: it receives the whole result.
    let current = text(headers, "if-range").is_none_or(|have| have == etag);
    let asked = text(headers, "range").filter(|_| current).and_then(ByteRangeRequest::parse);
    let range = match asked {
        None => None,
        Some(asked) => Some(asked.within(output.len).ok_or_else(|| {
            Error::new(fabric_types::Code::RangeNotSatisfiable, "the range lies outside the result")
                .unsatisfied(output.len)
        })?),
    };
    let open = app.services.results.open(tenant, output, range.clone()).await?;
    let mut response = Response::new(Body::from_stream(open.body));
    let headers = response.headers_mut();
    let kind = open.content_type.as_deref().and_then(|t| HeaderValue::from_str(t).ok());
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    super::objects::harden(headers);
    let len = range.as_ref().map_or(output.len, |r| r.end - r.start);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    if let Some(range) = range {
        if let Ok(value) =
            HeaderValue::try_from(format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), output.len))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Returns all results in sequence, a window of lines, or the lines that contain a text. A single result is sent
/// unchanged.
#[utoipa::path(get, path = "/jobs/{id}/result", tag = "jobs", params(("id" = String, Path), ResultParams), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn all(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(window): QueryParams<ResultParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let outputs = app.driver()?.outputs(&caller.tenant, &id).await?;
    if window.line.is_some() || window.lines.is_some() || window.q.is_some() {
        let body = concatenated(&app, &caller.tenant, outputs, Join::Lines);
        return app.scans.drive(&caller.tenant, async move { lines(body, &window).await }).await?;
    }
    if let [only] = outputs.as_slice() {
        return send(&app, &caller.tenant, only, &headers).await;
    }
    let join = window.join.unwrap_or_default();
    let bytes: u64 = outputs.iter().map(|o| o.len).sum();
    let mut response = Response::new(Body::from_stream(concatenated(&app, &caller.tenant, outputs, join)));
    let headers = response.headers_mut();
    if join == Join::Bytes {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    super::objects::harden(headers);
    Ok(response)
}

/// Selects lines of a stream, in constant memory.
async fn lines(mut body: BoxStream<'static, Result<Bytes, Fault>>, window: &ResultParams) -> Result<Response> {
    let (first, count) = (window.line.unwrap_or(0), window.lines.unwrap_or(100).min(100_000));
    let needle = window.q.as_deref().filter(|q| !q.is_empty()).map(|q| memchr::memmem::Finder::new(q.as_bytes()));
    let (mut out, mut line, mut at, mut taken, mut scanned) = (Vec::new(), Vec::new(), 0u64, 0u64, 0u64);
    let mut truncated = false;
    let mut end = |line: &mut Vec<u8>, out: &mut Vec<u8>| {
        let fits = at >= first && needle.as_ref().is_none_or(|n| n.find(line).is_some());
        at += 1;
        let mut more = true;
        if fits {
            if out.len() + line.len() + 1 > MAX_TEXT {
                truncated = true;
                more = false;
            } else {
                out.extend_from_slice(line);
                out.push(b'\n');
                taken += 1;
            }
        }
        line.clear();
        more && taken < count
    };
    let mut more = count > 0;
    while more && let Some(chunk) = body.try_next().await? {
        scanned += chunk.len() as u64;
        let mut from = 0;
        for stop in memchr::memchr_iter(b'\n', &chunk) {
            append(&mut line, chunk.get(from..stop).unwrap_or_default());
            from = stop + 1;
            more = end(&mut line, &mut out);
            if !more {
                break;
            }
        }
        append(&mut line, chunk.get(from..).unwrap_or_default());
        if scanned > MAX_SCAN {
            break;
        }
        // Without this, a search over data in memory could not be cancelled.
        tokio::task::yield_now().await;
    }
    if more && scanned <= MAX_SCAN && !line.is_empty() {
        end(&mut line, &mut out);
    }
    let cut = truncated || scanned > MAX_SCAN;
    let mut response = ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], out).into_response();
    response.headers_mut().insert("fabric-truncated", HeaderValue::from_static(if cut { "true" } else { "false" }));
    super::objects::harden(response.headers_mut());
    Ok(response)
}

fn append(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_LINE.saturating_sub(line.len()).min(bytes.len());
    line.extend_from_slice(bytes.get(..room).unwrap_or_default());
}

/// Returns one result.
#[utoipa::path(get, path = "/jobs/{id}/result/{n}", tag = "jobs", params(("id" = String, Path), ("n" = u64, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn one(
    State(app): State<App>,
    caller: Caller,
    PathParams((id, n)): PathParams<(JobId, usize)>,
    headers: HeaderMap,
) -> Result<Response> {
    let outputs = app.driver()?.outputs(&caller.tenant, &id).await?;
    let output = outputs.get(n).ok_or_else(|| Error::not_found("result", n))?;
    send(&app, &caller.tenant, output, &headers).await
}

/// Returns the result of one task that succeeded, also while the job runs and after it failed or was cancelled.
#[utoipa::path(get, path = "/jobs/{id}/tasks/{stage}/{index}/result", tag = "jobs", params(("id" = String, Path), ("stage" = u16, Path), ("index" = u32, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn of_task(
    State(app): State<App>,
    caller: Caller,
    PathParams((id, stage, index)): PathParams<(JobId, u16, u32)>,
    headers: HeaderMap,
) -> Result<Response> {
    let output = app.driver()?.output(&caller.tenant, &id, TaskId { stage, index }).await?;
    send(&app, &caller.tenant, &output, &headers).await
}

/// Lists the results.
#[utoipa::path(get, path = "/jobs/{id}/results", tag = "jobs", params(("id" = String, Path), PageOptions), responses((status = 200, body = Page<ResultInfo>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    QueryParams(paging): QueryParams<PageOptions>,
) -> Result<Json<Page<ResultInfo>>> {
    let outputs = app.driver()?.outputs(&caller.tenant, &id).await?;
    let all: Vec<_> = (0u64..).zip(outputs).collect();
    let Page { items, next } = page(all, paging.cursor.as_deref(), paging.items())?;
    let keys: Vec<_> = items.iter().map(|(_, o)| o.key).collect();
    let records = app.services.results.find(&caller.tenant, &keys).await?;
    let items = items.into_iter().zip(records).map(|((index, o), record)| ResultInfo {
        index,
        bytes: o.len,
        digest: o.digest,
        key: o.key,
        content_type: record.and_then(|(_, r)| r.content_type),
    });
    Ok(Json(Page { items: items.collect(), next }))
}
