//! `Idempotency-Key`: requests with the same key and content receive the same answer for a day
//! (`storage.keep-answers`), also if the first attempt is still in progress or lost its connection.
//!
//! A key is claimed in the registry before the work starts, and the work runs to its end in a tracked task even if the
//! caller disconnects. The claims of a process that dies remain. A process that uses its data alone identifies the
//! claims of its earlier runs by their run number and takes them over at once; in a fleet a claim counts as abandoned
//! after 15 minutes. Answers that a retry may improve on (5xx, 401, 403, 409, 429) are not stored.

use crate::{
    Error,
    caller::Caller,
    charged::{self, collect},
    clock::{draw, now_ms},
    error::Result,
    extract::text,
};
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fabric_backend::{
    Backend, maintenance,
    registry::{Change, Precondition, RegistryEntry},
};
use fabric_store::{Accounts, Reservation};
use fabric_types::{Code, memory::Payer, storage::StorageKind};
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Age in milliseconds after which the claim of a dead server may be taken over.
const ABANDONED_MS: u64 = 15 * 60 * 1000;
/// Maximum time that a duplicate waits for the first request.
const WAIT: Duration = Duration::from_secs(30);
/// Maximum bytes of a stored answer.
const MAX_BODY: usize = 1 << 20;
/// Bytes reserved before a call with a key runs: the largest stored answer in Base64, and its record.
const ROOM_OF_CALL: u64 = (MAX_BODY as u64).div_ceil(3) * 4 + 4096;
/// The same for other requests, with answers that describe a created resource: a function with its manifest, a job.
const ROOM: u64 = 64 << 10;
/// Maximum bytes of a request with a key.
const MAX_REQUEST: usize = 66 << 20;
/// Attempts to release a claim. If all fail, the claim lasts until it counts as abandoned.
const RELEASE_TRIES: usize = 3;
/// Headers that are stored with an answer.
const STORED_HEADERS: &[&str] = &[
    "content-type",
    "content-disposition",
    "content-security-policy",
    "x-content-type-options",
    "location",
    "etag",
    "fabric-invocation-id",
    "fabric-fuel",
    "fabric-gpu-us",
    "fabric-version",
    "fabric-cached",
];
/// Key prefix of the records, separate from the tenants' own keys so that a sweep reads nothing else.
const PREFIX: &str = "sys/idem/";

/// Marks an answer with a body that must not be stored, such as a token's secret.
#[derive(Debug, Clone, Copy)]
pub struct Secret;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    fingerprint: String,
    at_ms: u64,
    answer: Option<Answer>,
    /// The run of the process that claimed the key.
    #[serde(default)]
    run: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64; `None` if the body was too large to store, or secret.
    body: Option<String>,
}

/// Stored answers of requests with an idempotency key. Cloning is cheap.
#[derive(Clone)]
pub struct Idempotency {
    backend: Backend,
    /// Random number of this run of the process.
    run: u64,
    /// `true` if no other process uses the registry.
    alone: bool,
    accounts: Accounts,
    /// Lifetime of an answer, in milliseconds.
    keep_ms: u64,
}

enum Claim {
    /// The revision of the claim, and the bytes of the record that it replaced.
    Acquired(u64, u64),
    Answered(Answer),
    InProgress,
}

impl Idempotency {
    /// Creates the service over a backend's registry. `alone` states that no other process uses the registry; `keep` is
    /// the lifetime of an answer.
    #[must_use]
    pub fn new(backend: Backend, alone: bool, accounts: Accounts, keep: Duration) -> Self {
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        Self { backend, run: draw(), alone, accounts, keep_ms }
    }

    async fn claim(&self, at: &str, fingerprint: &str) -> Result<Claim> {
        for _ in 0..16 {
            let entry = self.backend.registry.get(at).await?;
            let (expect, old) = match &entry {
                None => (Precondition::Absent, None),
                Some(e) => (Precondition::Revision(e.revision), serde_json::from_slice::<Record>(&e.value).ok()),
            };
            if let Some(old) = old {
                let age = now_ms().saturating_sub(old.at_ms);
                if age < self.keep_ms && old.fingerprint != fingerprint {
                    return Err(Error::new(
                        Code::IdempotencyMismatch,
                        "the idempotency key was used for another request",
                    )
                    .hint("use a new key for a new request"));
                }
                match old.answer {
                    Some(answer) if age < self.keep_ms => return Ok(Claim::Answered(answer)),
                    None if age < ABANDONED_MS && (!self.alone || old.run == self.run) => return Ok(Claim::InProgress),
                    _ => {}
                }
            }
            let record = Record { fingerprint: fingerprint.to_owned(), at_ms: now_ms(), answer: None, run: self.run };
            match self.backend.registry.put(at, encode(&record)?, expect).await {
                Ok(revision) => {
                    let replaced = entry.as_ref().map_or(0, |e| e.value.len() as u64 + maintenance::ROW_BYTES);
                    return Ok(Claim::Acquired(revision, replaced));
                }
                Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Claim::InProgress)
    }

    /// Waits until the key changes.
    async fn changed(&self, at: &str, mut changes: futures::stream::BoxStream<'static, Change>) {
        while let Some(change) = changes.next().await {
            let key = match &change {
                Change::Put(entry) => &entry.key,
                Change::Deleted(key) => key,
            };
            if key == at {
                return;
            }
        }
    }

    /// Subtracts a deleted record from the tenant's stored bytes.
    fn forgotten(&self, entry: &RegistryEntry) {
        if let Some((tenant, kind)) = maintenance::owner(&entry.key) {
            self.accounts.remove(&tenant, kind, entry.value.len() as u64 + maintenance::ROW_BYTES);
        }
    }

    /// Deletes expired answers.
    ///
    /// # Errors
    /// The errors of the registry.
    pub async fn sweep(&self) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let batch = self.backend.registry.list(PREFIX, after.as_deref(), 500).await?;
            let done = batch.len() < 500;
            for entry in batch {
                // A record that cannot be decoded is deleted too.
                let alive = serde_json::from_slice::<Record>(&entry.value)
                    .is_ok_and(|r| now_ms().saturating_sub(r.at_ms) < self.keep_ms);
                if !alive {
                    match self.backend.registry.delete(&entry.key, Precondition::Revision(entry.revision)).await {
                        Ok(()) => self.forgotten(&entry),
                        Err(fabric_backend::Error::Conflict { .. }) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                after = Some(entry.key);
            }
            if done {
                return Ok(());
            }
        }
    }
}

fn encode(record: &Record) -> Result<Bytes> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|e| Error::new(Code::Internal, e.to_string()))
}

/// Returns the registry key. It depends on the token, so that no caller receives another caller's answer.
fn key(caller: &Caller, key: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(caller.token.as_bytes()).update(&[0]).update(key.as_bytes());
    format!("{PREFIX}{}/{}", caller.tenant, hash.finalize().to_hex())
}

/// Returns the hash that identifies a request: method, path, query, parameters, media type and body. Client libraries
/// generate a new multipart boundary for every attempt, so the boundary is left out.
fn fingerprint(parts: &http::request::Parts, body: &[u8]) -> String {
    let mut hash = blake3::Hasher::new();
    let kind = text(&parts.headers, "content-type").unwrap_or_default();
    let boundary = kind.split_once("boundary=").map(|(_, b)| b.split(';').next().unwrap_or_default().trim_matches('"'));
    for part in [
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        text(&parts.headers, "fabric-params").unwrap_or_default(),
        kind.split(';').next().unwrap_or_default(),
    ] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    match boundary.filter(|b| !b.is_empty()) {
        None => {
            hash.update(body);
        }
        Some(boundary) => {
            let mut from = 0;
            for at in memchr::memmem::find_iter(body, boundary) {
                hash.update(body.get(from..at).unwrap_or_default());
                hash.update(&[0]);
                from = at + boundary.len();
            }
            hash.update(body.get(from..).unwrap_or_default());
        }
    }
    hash.finalize().to_hex().to_string()
}

/// The kind of a request's answer, which bounds its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// The output of a call.
    CallOutput,
    /// The description of a resource, such as a function or a job.
    Resource,
}

impl Idempotency {
    /// Runs a request. Requests that repeat an idempotency key run once, in a task of `tasks` that `aborting` drops.
    pub async fn once(
        &self,
        tasks: &TaskTracker,
        aborting: &CancellationToken,
        caller: &Caller,
        kind: AnswerKind,
        request: Request,
        next: Next,
    ) -> Response {
        if request.method() != Method::POST || !request.headers().contains_key("idempotency-key") {
            return next.run(request).await;
        }
        keyed(self, (tasks, aborting), caller, kind, request, next).await.unwrap_or_else(Error::into_response)
    }
}

async fn keyed(
    idempotency: &Idempotency,
    (tasks, aborting): (&TaskTracker, &CancellationToken),
    caller: &Caller,
    kind: AnswerKind,
    request: Request,
    next: Next,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let given = text(&parts.headers, "idempotency-key").filter(|k| (1..=200).contains(&k.len()));
    let given = given.ok_or_else(|| Error::bad("an Idempotency-Key has 1 to 200 bytes of visible text"))?;
    let at = key(caller, given);
    let payer = charged::payer(&parts.extensions);
    let body = collect(body, MAX_REQUEST, &payer).await?;
    let fingerprint = fingerprint(&parts, &body);
    let room = match kind {
        AnswerKind::CallOutput => ROOM_OF_CALL,
        AnswerKind::Resource => ROOM,
    };
    let deadline = tokio::time::Instant::now() + WAIT;
    let (revision, reserved) = loop {
        // Watched before the claim is read, so that no change is missed in between.
        let changes = idempotency.backend.registry.watch(&at);
        match idempotency.claim(&at, &fingerprint).await? {
            Claim::Acquired(revision, replaced) => {
                // Before anything runs: an answer that cannot be stored could be given only once.
                let reserved = idempotency.accounts.reserve(&caller.tenant, StorageKind::Answers, room).await;
                idempotency.accounts.remove(&caller.tenant, StorageKind::Answers, replaced);
                match reserved {
                    Ok(reserved) => break (revision, reserved),
                    Err(error) => {
                        idempotency.release(&at, revision).await;
                        return Err(error.into());
                    }
                }
            }
            Claim::Answered(answer) => return replay(answer),
            Claim::InProgress => {
                if tokio::time::timeout_at(deadline, idempotency.changed(&at, changes)).await.is_err() {
                    return Err(Error::new(Code::Conflict, "the first request with this key is still in progress")
                        .hint("send it again later")
                        .header(header::RETRY_AFTER, HeaderValue::from_static("5")));
                }
            }
        }
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    // Charged already, as long as the bytes exist.
    request.extensions_mut().insert(Payer::nobody());
    let (idempotency, aborting) = (idempotency.clone(), aborting.clone());
    let run = async move {
        use futures::FutureExt as _;
        let ran = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response =
            ran.unwrap_or_else(|_| Error::new(Code::Internal, "the server failed to answer").into_response());
        idempotency.keep(&at, fingerprint, revision, response, reserved, &payer).await
    };
    let run = async move { aborting.run_until_cancelled(run).await };
    let span = tracing::Span::current();
    let task = tasks.spawn(tracing::Instrument::instrument(run, span));
    let ended = task.await.map_err(|e| Error::new(Code::Internal, e.to_string()))?;
    ended.ok_or_else(|| Error::new(Code::Unavailable, "the server is stopping"))
}

impl Idempotency {
    /// Stores the answer and returns it. If that fails, the caller still receives the answer, and the claim is released
    /// so that it does not block the key.
    async fn keep(
        &self,
        at: &str,
        fingerprint: String,
        revision: u64,
        response: Response,
        room: Reservation,
        payer: &Payer,
    ) -> Response {
        let status = response.status();
        let keep = status.is_success() || matches!(status.as_u16(), 400 | 404 | 413 | 415 | 422);
        if !keep {
            self.release(at, revision).await;
            return response;
        }
        let (parts, body) = response.into_parts();
        // Most answers to POST requests are built as a whole and charged before they are sent: they are one piece here.
        let bytes = match collect(body, usize::MAX, payer).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.release(at, revision).await;
                return error.into_response();
            }
        };
        let headers = STORED_HEADERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(&parts.headers, name)?.to_owned())))
            .collect();
        let keep = bytes.len() <= MAX_BODY && parts.extensions.get::<Secret>().is_none();
        let body = keep.then(|| STANDARD.encode(&bytes));
        let answer = Answer { status: status.as_u16(), headers, body };
        let record = Record { fingerprint, at_ms: now_ms(), answer: Some(answer), run: self.run };
        let stored = async {
            let record = encode(&record)?;
            let bytes = record.len() as u64 + maintenance::ROW_BYTES;
            self.backend.registry.put(at, record, Precondition::Revision(revision)).await?;
            Ok::<_, Error>(bytes)
        };
        match stored.await {
            Ok(bytes) => room.keep_only(bytes, 0),
            Err(error) => {
                tracing::warn!(%error, "could not store the answer to a request with an idempotency key");
                self.release(at, revision).await;
            }
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    /// Releases a claim, so that the key is free at once.
    async fn release(&self, at: &str, revision: u64) {
        for _ in 0..RELEASE_TRIES {
            match self.backend.registry.delete(at, Precondition::Revision(revision)).await {
                // Another process took over the claim as abandoned, and owns it now.
                Ok(()) | Err(fabric_backend::Error::Conflict { .. }) => return,
                Err(error) => tracing::warn!(%error, "could not release the claim on an idempotency key"),
            }
        }
    }
}

fn replay(answer: Answer) -> Result<Response> {
    let damaged = || Error::new(Code::Internal, "a stored answer is damaged");
    let Some(body) = answer.body else {
        let id = answer.headers.iter().find(|(n, _)| n == "fabric-invocation-id").map_or("", |(_, v)| v.as_str());
        let hint = if id.is_empty() {
            "the request was carried out; a new key repeats it".to_owned()
        } else {
            format!("the answer came from invocation {id}; call asynchronously to be able to read a result again")
        };
        let what = "this request was answered, but the answer was too large to store or is secret";
        return Err(Error::new(Code::Conflict, what).hint(hint));
    };
    let body = STANDARD.decode(body).map_err(|_| damaged())?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| damaged())?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(|_| damaged())?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|_| damaged())?);
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_embedded::Embedded;

    #[tokio::test]
    async fn a_key_whose_process_died_is_free_for_the_next_run_and_held_among_many() {
        let backend = Embedded::in_memory().unwrap();
        let run = |alone| Idempotency::new(backend.clone(), alone, Accounts::default(), Duration::from_secs(86_400));
        let claim = async |run: &Idempotency| run.claim("sys/idem/a/k", "f").await.unwrap();
        let first = run(true);
        assert!(matches!(claim(&first).await, Claim::Acquired(..)));
        assert!(matches!(claim(&first).await, Claim::InProgress));
        assert!(matches!(claim(&run(false)).await, Claim::InProgress), "another process may still be at it");
        let next = run(true);
        assert!(matches!(claim(&next).await, Claim::Acquired(..)), "nobody is");
        assert!(matches!(claim(&next).await, Claim::InProgress));
    }
}
