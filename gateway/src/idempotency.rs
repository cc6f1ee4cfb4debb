//! `Idempotency-Key`: the same key and the same request get the same answer for a day (`storage.keep-answers`), whether the first try is
//! done, under way, or lost its connection.
//!
//! A key is claimed in the registry before the work starts, and the work runs to its end in a tracked task even if the
//! caller goes away. A process that dies leaves claims: alone over its data it knows those of its earlier runs by their mark
//! and takes them over at once; in a fleet they are abandoned after a while. Answers that a repetition may improve on (5xx,
//! 401, 403, 409, 429) are not kept.

use crate::{
    Error,
    access::Caller,
    charged::{self, collect},
    clock::{draw, now_ms},
    error::Result,
    extract::text,
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fabric_engine::{
    Engine,
    registry::{Change, Entry, Expect},
    upkeep,
};
use fabric_store::{Accounts, Reservation};
use fabric_types::{Code, memory::Payer, storage::StorageKind};
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After this a claim whose server died may be taken over, milliseconds.
const ABANDONED_MS: u64 = 15 * 60 * 1000;
/// How long a duplicate waits for the first.
const WAIT: Duration = Duration::from_secs(30);
/// Bytes of the largest answer that is kept.
const MAX_BODY: usize = 1 << 20;
/// Room that is made before a call with a key runs: the largest answer that is kept, in base64, and its record.
const ROOM_OF_CALL: u64 = (MAX_BODY as u64).div_ceil(3) * 4 + 4096;
/// The same for other requests, whose answers are about what was made: a function with its manifest, a job.
const ROOM: u64 = 64 << 10;
/// Bytes of the largest request with a key.
const MAX_REQUEST: usize = 66 << 20;
/// Tries to give up a claim; after them it lasts until it counts as abandoned.
const RELEASE_TRIES: usize = 3;
/// Headers that are part of an answer.
const KEPT: &[&str] = &[
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
/// Where the records are: apart from the tenants' own keys, so that a sweep reads nothing else.
const PREFIX: &str = "sys/idem/";

/// Marks an answer whose body must not be written down, such as a token's secret.
#[derive(Debug, Clone, Copy)]
pub struct Secret;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    fingerprint: String,
    at_ms: u64,
    answer: Option<Answer>,
    /// The run of a process that claimed the key.
    #[serde(default)]
    run: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64; `None` where it was too large to keep, or secret.
    body: Option<String>,
}

/// Remembered answers. Cloning is cheap.
#[derive(Clone)]
pub struct Idempotency {
    engine: Engine,
    /// This run of the process.
    run: u64,
    /// Whether no other process uses the registry.
    alone: bool,
    accounts: Accounts,
    /// How long an answer is kept, milliseconds.
    keep_ms: u64,
}

enum Claim {
    /// With the revision of the claim, and the bytes that it took the place of.
    Ours(u64, u64),
    Answered(Answer),
    UnderWay,
}

impl Idempotency {
    /// Over an engine's registry, which no other process uses, or others do.
    #[must_use]
    pub fn new(engine: Engine, alone: bool, accounts: Accounts, keep: Duration) -> Self {
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        Self { engine, run: draw(), alone, accounts, keep_ms }
    }

    async fn claim(&self, at: &str, fingerprint: &str) -> Result<Claim> {
        for _ in 0..16 {
            let entry = self.engine.registry.get(at).await?;
            let (expect, old) = match &entry {
                None => (Expect::Absent, None),
                Some(e) => (Expect::Revision(e.revision), serde_json::from_slice::<Record>(&e.value).ok()),
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
                    None if age < ABANDONED_MS && (!self.alone || old.run == self.run) => return Ok(Claim::UnderWay),
                    _ => {}
                }
            }
            let record = Record { fingerprint: fingerprint.to_owned(), at_ms: now_ms(), answer: None, run: self.run };
            match self.engine.registry.put(at, encode(&record)?, expect).await {
                Ok(revision) => {
                    let replaced = entry.as_ref().map_or(0, |e| e.value.len() as u64 + upkeep::ROW_BYTES);
                    return Ok(Claim::Ours(revision, replaced));
                }
                Err(fabric_engine::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Claim::UnderWay)
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

    /// Counts a record as gone.
    fn forgotten(&self, entry: &Entry) {
        if let Some((tenant, kind)) = upkeep::owner(&entry.key) {
            self.accounts.remove(&tenant, kind, entry.value.len() as u64 + upkeep::ROW_BYTES);
        }
    }

    /// Removes what has expired.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn sweep(&self) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let batch = self.engine.registry.list(PREFIX, after.as_deref(), 500).await?;
            let done = batch.len() < 500;
            for entry in batch {
                // What can't be read is of no use to anybody.
                let alive = serde_json::from_slice::<Record>(&entry.value)
                    .is_ok_and(|r| now_ms().saturating_sub(r.at_ms) < self.keep_ms);
                if !alive {
                    match self.engine.registry.delete(&entry.key, Expect::Revision(entry.revision)).await {
                        Ok(()) => self.forgotten(&entry),
                        Err(fabric_engine::Error::Conflict { .. }) => {}
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

/// A key is its token's own, so that no caller is given what another was told.
fn key(caller: &Caller, key: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(caller.token.as_bytes()).update(&[0]).update(key.as_bytes());
    format!("{PREFIX}{}/{}", caller.tenant, hash.finalize().to_hex())
}

/// What makes two requests the same: method, address and body. A multipart boundary is made afresh by every client
/// library at every try, so it does not count.
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

/// Runs a request, once where it carries a key.
pub async fn once(app: &App, caller: &Caller, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key("idempotency-key") {
        return next.run(request).await;
    }
    keyed(app, caller, request, next).await.unwrap_or_else(Error::into_response)
}

async fn keyed(app: &App, caller: &Caller, request: Request, next: Next) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let given = text(&parts.headers, "idempotency-key").filter(|k| (1..=200).contains(&k.len()));
    let given = given.ok_or_else(|| Error::bad("an Idempotency-Key has 1 to 200 bytes of visible text"))?;
    let at = key(caller, given);
    let payer = charged::payer(&parts.extensions);
    let body = collect(body, MAX_REQUEST, &payer).await?;
    let fingerprint = fingerprint(&parts, &body);
    let room = if crate::routes::invoke::is_address(parts.uri.path()) { ROOM_OF_CALL } else { ROOM };
    let deadline = tokio::time::Instant::now() + WAIT;
    let idempotency = &app.idempotency;
    let (revision, reserved) = loop {
        // Watched before looking, so that no change falls between.
        let changes = app.idempotency.engine.registry.watch(&at);
        match app.idempotency.claim(&at, &fingerprint).await? {
            Claim::Ours(revision, replaced) => {
                // Before anything runs: an answer that could not be kept would be given once only.
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
            Claim::UnderWay => {
                if tokio::time::timeout_at(deadline, app.idempotency.changed(&at, changes)).await.is_err() {
                    return Err(Error::new(Code::Conflict, "the first request with this key is still under way")
                        .hint("send it again in a while")
                        .header(header::RETRY_AFTER, HeaderValue::from_static("5")));
                }
            }
        }
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    // Charged already, for as long as the bytes are there.
    request.extensions_mut().insert(Payer::nobody());
    let idempotency = app.idempotency.clone();
    let aborting = app.aborting.clone();
    let run = async move {
        use futures::FutureExt as _;
        let ran = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response =
            ran.unwrap_or_else(|_| Error::new(Code::Internal, "the server failed to answer").into_response());
        idempotency.keep(&at, fingerprint, revision, response, reserved, &payer).await
    };
    let run = async move { aborting.run_until_cancelled(run).await };
    let span = tracing::Span::current();
    let task = app.tasks.spawn(tracing::Instrument::instrument(run, span));
    let ended = task.await.map_err(|e| Error::new(Code::Internal, e.to_string()))?;
    ended.ok_or_else(|| Error::new(Code::Unavailable, "the server is stopping"))
}

impl Idempotency {
    /// Writes the answer down and gives it back. Where that fails the caller still gets its answer, and the claim is
    /// given up rather than left to block the key.
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
        // Most answers of POST are made whole before they are sent, and charged then: they are one piece here.
        let bytes = match collect(body, usize::MAX, payer).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.release(at, revision).await;
                return error.into_response();
            }
        };
        let headers =
            KEPT.iter().filter_map(|name| Some(((*name).to_owned(), text(&parts.headers, name)?.to_owned()))).collect();
        let keep = bytes.len() <= MAX_BODY && parts.extensions.get::<Secret>().is_none();
        let body = keep.then(|| STANDARD.encode(&bytes));
        let answer = Answer { status: status.as_u16(), headers, body };
        let record = Record { fingerprint, at_ms: now_ms(), answer: Some(answer), run: self.run };
        let stored = async {
            let record = encode(&record)?;
            let bytes = record.len() as u64 + upkeep::ROW_BYTES;
            self.engine.registry.put(at, record, Expect::Revision(revision)).await?;
            Ok::<_, Error>(bytes)
        };
        match stored.await {
            Ok(bytes) => room.keep_only(bytes, 0),
            Err(error) => {
                tracing::warn!(%error, "could not keep the answer to a request with an idempotency key");
                self.release(at, revision).await;
            }
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    /// Gives a claim up, so that the key is free at once.
    async fn release(&self, at: &str, revision: u64) {
        for _ in 0..RELEASE_TRIES {
            match self.engine.registry.delete(at, Expect::Revision(revision)).await {
                // Somebody took over what they believed abandoned: it is theirs now.
                Ok(()) | Err(fabric_engine::Error::Conflict { .. }) => return,
                Err(error) => tracing::warn!(%error, "could not give up the claim on an idempotency key"),
            }
        }
    }
}

fn replay(answer: Answer) -> Result<Response> {
    let damaged = || Error::new(Code::Internal, "a remembered answer is damaged");
    let Some(body) = answer.body else {
        let id = answer.headers.iter().find(|(n, _)| n == "fabric-invocation-id").map_or("", |(_, v)| v.as_str());
        let hint = if id.is_empty() {
            "the request was done; a new key does it again".to_owned()
        } else {
            format!("invocation {id} gave it; call asynchronously to be able to read a result again")
        };
        let what = "this request was answered, but the answer was too large or too secret to keep";
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fabric_engine::embedded::Embedded;

    #[tokio::test]
    async fn a_key_whose_process_died_is_free_for_the_next_run_and_held_among_many() {
        let engine = Embedded::in_memory().unwrap();
        let run = |alone| Idempotency::new(engine.clone(), alone, Accounts::default(), Duration::from_secs(86_400));
        let claim = async |run: &Idempotency| run.claim("sys/idem/a/k", "f").await.unwrap();
        let first = run(true);
        assert!(matches!(claim(&first).await, Claim::Ours(..)));
        assert!(matches!(claim(&first).await, Claim::UnderWay));
        assert!(matches!(claim(&run(false)).await, Claim::UnderWay), "another process may still be at it");
        let next = run(true);
        assert!(matches!(claim(&next).await, Claim::Ours(..)), "nobody is");
        assert!(matches!(claim(&next).await, Claim::UnderWay));
    }
}
