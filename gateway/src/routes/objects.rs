//! Routes of objects: streamed in and out, with ranges and conditions (RFC 9110).

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
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use fabric_api::object::ObjectQuery;
use fabric_store::{Conditions, ObjectPath, ObjectPrefix, Objects, PutOptions, Range};
use fabric_types::{
    Code,
    rest::{Page, object::ObjectInfo},
};
use futures::TryStreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Sets headers that keep a browser from running bytes of a user or a guest as content of the API's origin.
pub(super) fn harden(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.entry(header::CONTENT_DISPOSITION).or_insert(HeaderValue::from_static("attachment"));
}

/// Attempts to read an object that is replaced during the read.
const REPLACED_TRIES: usize = 8;

fn tags(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|t| t.trim().trim_start_matches("W/").trim_matches('"'))
}

/// Writes an object.
#[utoipa::path(put, path = "/objects/{*path}", tag = "objects", params(("path" = String, Path)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 201, body = ObjectInfo), (status = 200, body = ObjectInfo)))]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    PathParams(path): PathParams<String>,
    request: Request,
) -> Result<Response> {
    let path = ObjectPath::new(path)?;
    let objects = app.services.store.objects(&caller.tenant);
    let (parts, body) = request.into_parts();
    let mut options = PutOptions::default();
    match text(&parts.headers, "if-none-match") {
        None => {}
        Some("*") => options.if_absent = true,
        Some(_) => return Err(Error::bad("a write takes `If-None-Match: *` only")),
    }
    let there = match objects.head(&path).await {
        Ok(info) => Some(info),
        Err(fabric_store::Error::NotFound { .. }) => None,
        Err(e) => return Err(e.into()),
    };
    if let Some(wanted) = text(&parts.headers, "if-match") {
        let failed = || Error::new(Code::PreconditionFailed, format!("`{path}` is not the version in If-Match"));
        let current = there.as_ref().ok_or_else(failed)?;
        if wanted != "*" && !tags(wanted).any(|t| t == current.etag) {
            return Err(failed());
        }
        options.if_match = Some(current.etag.clone());
    }
    options.expected = text(&parts.headers, "content-length").and_then(|len| len.parse().ok());
    let mut body = body.into_data_stream();
    let info = objects.put(&path, &mut body, options).await?;
    let status = if there.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let etag = format!("\"{}\"", info.etag);
    Ok((status, [(header::ETAG, etag)], Json(info)).into_response())
}

fn date(ms: u64) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    HeaderValue::try_from(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

fn since(value: &str) -> Option<u64> {
    let at = jiff::fmt::rfc2822::parse(value).ok()?;
    u64::try_from(at.timestamp().as_millisecond()).ok()
}

/// Reads an object or a range of it. HEAD is supported.
#[utoipa::path(get, path = "/objects/{*path}", tag = "objects", params(("path" = String, Path), ("Range" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 206, body = Vec<u8>, content_type = "application/octet-stream"), (status = 304)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams(path): PathParams<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let path = ObjectPath::new(path)?;
    for _ in 0..REPLACED_TRIES {
        if let Some(response) = read(&app, &caller, &path, &method, &headers).await? {
            return Ok(response);
        }
    }
    Err(Error::new(Code::Unavailable, format!("`{path}` was replaced during every attempt to read it")))
}

/// Makes one attempt. Returns `None` if the object was replaced between the check and the read.
async fn read(
    app: &App,
    caller: &Caller,
    path: &ObjectPath,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Response>> {
    let objects = app.services.store.objects(&caller.tenant);
    let info = objects.head(path).await?;
    if let Some(wanted) = text(headers, "if-match")
        && wanted != "*"
        && !tags(wanted).any(|t| t == info.etag)
    {
        return Err(Error::new(Code::PreconditionFailed, format!("`{path}` is not the version in If-Match")));
    }
    let unchanged = match text(headers, "if-none-match") {
        Some(have) => have == "*" || tags(have).any(|t| t == info.etag),
        None => text(headers, "if-modified-since").and_then(since).is_some_and(|t| info.modified_ms / 1000 * 1000 <= t),
    };
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let current = text(headers, "if-range").is_none_or(|have| have.trim_matches('"') == info.etag);
        let asked =
            text(headers, "range").filter(|_| current && *method == Method::GET).and_then(ByteRangeRequest::parse);
        let mut range = 0..info.size;
        let mut status = StatusCode::OK;
        if let Some(asked) = asked {
            range = asked.within(info.size).ok_or_else(|| {
                Error::new(Code::RangeNotSatisfiable, format!("the range lies outside `{path}`")).unsatisfied(info.size)
            })?;
            status = StatusCode::PARTIAL_CONTENT;
        }
        let body = if *method == Method::HEAD || range.is_empty() {
            Body::empty()
        } else {
            let wanted = if status == StatusCode::OK { Range::Whole } else { Range::Bytes(range.start, range.end) };
            let conditions = Conditions { if_match: Some(info.etag.clone()), if_none_match: None };
            match objects.get(path, wanted, &conditions).await {
                Ok(found) => Body::from_stream(found.stream.map_err(std::io::Error::other)),
                Err(fabric_store::Error::PreconditionFailed { .. }) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let out = response.headers_mut();
        out.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(value) =
                HeaderValue::try_from(format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), info.size))
        {
            out.insert(header::CONTENT_RANGE, value);
        }
        harden(out);
        response
    };
    let out = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", info.etag)) {
        out.insert(header::ETAG, etag);
    }
    if let Some(date) = date(info.modified_ms) {
        out.insert(header::LAST_MODIFIED, date);
    }
    Ok(Some(response))
}

/// Deletes an object.
#[utoipa::path(delete, path = "/objects/{*path}", tag = "objects", params(("path" = String, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathParams(path): PathParams<String>,
) -> Result<StatusCode> {
    app.services.store.objects(&caller.tenant).delete(&ObjectPath::new(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists objects, ordered by path.
#[utoipa::path(get, path = "/objects", tag = "objects", params(ObjectQuery), responses((status = 200, body = Page<ObjectInfo>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<ObjectQuery>,
) -> Result<Json<Page<ObjectInfo>>> {
    let prefix = ObjectPrefix::new(ask.prefix.as_deref().unwrap_or_default())?;
    let limit = ask.items();
    let objects = app.services.store.objects(&caller.tenant);
    match ask.delimiter.as_deref() {
        None | Some("") => {
            let page = objects.list(&prefix, ask.cursor.as_deref(), limit).await?;
            return Ok(Json(Page { items: page.objects, next: page.next }));
        }
        Some("/") => {}
        Some(_) => return Err(Error::bad("`delimiter` is `/`")),
    }
    // The search reads the entry of every object in every folder that it shows.
    app.searches.drive(&caller.tenant, folders(objects, prefix, ask.cursor, limit)).await?.map(Json)
}

/// Lists the entries of one level: objects, and each folder as one entry.
async fn folders(
    objects: Objects,
    prefix: ObjectPrefix,
    cursor: Option<String>,
    limit: usize,
) -> Result<Page<ObjectInfo>> {
    // A cursor that names a folder resumes after its contents.
    let (folder, after) = match cursor.as_deref() {
        Some(c) if c.ends_with('/') => (Some(c.to_owned()), Some(c.trim_end_matches('/').to_owned())),
        other => (None, other.map(str::to_owned)),
    };
    let mut all = std::pin::pin!(objects.list_all(&prefix, after.as_deref())?);
    let mut items: Vec<ObjectInfo> = Vec::new();
    while let Some(info) = all.try_next().await? {
        if folder.as_ref().is_some_and(|f| info.path.starts_with(f.as_str())) {
            continue;
        }
        let rest = info.path.strip_prefix(prefix.as_str()).unwrap_or(&info.path);
        let shown = match rest.find('/') {
            Some(at) => {
                let path = info.path.get(..prefix.as_str().len() + at + 1).unwrap_or(&info.path).to_owned();
                if items.last().is_some_and(|last| last.path == path) {
                    continue;
                }
                ObjectInfo { path, size: 0, etag: String::new(), modified_ms: info.modified_ms }
            }
            None => info,
        };
        if items.len() == limit {
            let next = items.last().map(|o| o.path.clone());
            return Ok(Page { items, next });
        }
        items.push(shown);
    }
    Ok(Page { items, next: None })
}
