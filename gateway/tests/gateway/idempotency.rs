//! The same key and the same request: one execution, one answer.

use crate::support::{CAT, Server, send, wat};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    Error,
    registry::{Change, Precondition, Registry, RegistryEntry},
};
use fabric_gateway::Options;
use futures::stream::BoxStream;
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_gets_the_same_answer() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let call = |key: &str, body: &'static str| {
        send(server.ask("POST", "/v1/functions/f/invoke").header("idempotency-key", key).body(body))
    };
    let first = call("k", "x").await.is(200);
    let again = call("k", "x").await.is(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    for name in [
        "fabric-invocation-id",
        "fabric-fuel",
        "fabric-version",
        "content-type",
        "x-content-type-options",
        "content-security-policy",
    ] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_ne!(again.header("fabric-request-id"), first.header("fabric-request-id"));
    call("k", "y").await.problem("idempotency-mismatch");
    let params = server.ask("POST", "/v1/functions/f/invoke?params={}").header("idempotency-key", "k").body("x");
    send(params).await.problem("idempotency-mismatch");
    let other = call("k2", "x").await.is(200);
    assert_ne!(other.header("fabric-invocation-id"), first.header("fabric-invocation-id"));
    call("", "x").await.problem("bad-request");
    call(&"k".repeat(201), "x").await.problem("bad-request");
    call(&"k".repeat(200), "x").await.is(200);
    // The key of another caller is another key.
    let (_, secret) = server.token("invoker", "default").await;
    let theirs = server.bare("POST", "/v1/functions/f/invoke").bearer_auth(secret).header("idempotency-key", "k");
    assert_eq!(send(theirs.body("z")).await.is(200).text(), "z");
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_at_once_run_once() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let calls = (0..10).map(|_| {
        let call = server.ask("POST", "/v1/functions/f/invoke").header("idempotency-key", "k");
        send(call.body("x"))
    });
    // Every execution has its own id, so one id means one execution.
    let ids: BTreeSet<String> = futures::future::join_all(calls)
        .await
        .into_iter()
        .map(|a| a.is(200).header("fabric-invocation-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let jobs = (0..6).map(|_| {
        let job = json!({ "function": "f", "input": { "items": ["a"] } }).to_string();
        let ask = server.ask("POST", "/v1/jobs").header("idempotency-key", "j");
        send(ask.header("content-type", "application/json").body(job))
    });
    let ids: BTreeSet<String> = futures::future::join_all(jobs)
        .await
        .into_iter()
        .map(|a| a.is(201).json()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_given_once_and_not_written_down() {
    let server = Server::start().await;
    let make = || {
        let ask = server.ask("POST", "/v1/tokens").header("idempotency-key", "t");
        send(ask.header("content-type", "application/json").body(r#"{"name":"x","role":"invoker"}"#))
    };
    make().await.is(201);
    make().await.problem("conflict");
    let kept = server.services.backend.registry.list("sys/idem/", None, 100).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].key.starts_with("sys/idem/default/"));
    let record: serde_json::Value = serde_json::from_slice(&kept[0].value).unwrap();
    assert_eq!(record["answer"]["body"], json!(null));
}

/// A registry that can refuse to store answers.
struct Refusing {
    inner: Arc<dyn Registry>,
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl Registry for Refusing {
    async fn get(&self, key: &str) -> Result<Option<RegistryEntry>, Error> {
        self.inner.get(key).await
    }
    async fn put(&self, key: &str, value: Bytes, expect: Precondition) -> Result<u64, Error> {
        let answer = key.starts_with("sys/idem/") && matches!(expect, Precondition::Revision(_));
        if answer && self.refuses.load(SeqCst) {
            return Err(Error::Backend {
                backend: "refusing",
                context: "keeping an answer".to_owned(),
                source: "the disk is full".into(),
                retryable: false,
            });
        }
        self.inner.put(key, value, expect).await
    }
    async fn delete(&self, key: &str, expect: Precondition) -> Result<(), Error> {
        self.inner.delete(key, expect).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<RegistryEntry>, Error> {
        self.inner.list(prefix, after, limit).await
    }
    fn watch(&self, prefix: &str) -> BoxStream<'static, Change> {
        self.inner.watch(prefix)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_kept_is_given_and_leaves_no_claim_behind() {
    let refuses = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&refuses);
    let server = Server::with(Options::default(), move |backend| {
        let inner = Arc::clone(&backend.registry);
        backend.registry = Arc::new(Refusing { inner, refuses: flag });
    })
    .await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let call = || send(server.ask("POST", "/v1/functions/f/invoke").header("idempotency-key", "k").body("x"));
    let first = call().await.is(200);
    assert_eq!(server.services.backend.registry.list("sys/idem/", None, 10).await.unwrap(), []);
    refuses.store(false, SeqCst);
    let second = call().await.is(200);
    assert_eq!(second.header("idempotency-replayed"), None);
    assert_ne!(second.header("fabric-invocation-id"), first.header("fabric-invocation-id"));
    assert_eq!(call().await.is(200).header("idempotency-replayed"), Some("true"));
}
