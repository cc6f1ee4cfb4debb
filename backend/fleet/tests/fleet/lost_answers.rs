//! The store executes a request but its answer is lost: a writer must not take its own write for another writer's.

use crate::{nats, over, proxy::Proxy, weed};
use bytes::Bytes;
use fabric_backend::{
    Error,
    conformance::results::{key, record},
    registry::Precondition,
    results::CommitOutcome,
};
use fabric_fleet::{Fleet, FleetOptions};
use fabric_store::{Store, StoreOptions};
use fabric_types::id::TenantId;
use std::time::Duration;

/// Starts an S3 server behind a proxy.
async fn behind_a_proxy() -> (weed::Server, Proxy, Store) {
    let s3 = weed::Server::start().await;
    let url = s3.url("fabric/p");
    let port = url.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('&').next()).unwrap().to_owned();
    let proxy = Proxy::start(port.parse().unwrap()).await;
    let store = Store::open(&url.replace(&port, &proxy.port.to_string()), StoreOptions::default()).unwrap();
    (s3, proxy, store)
}

fn one(text: &str) -> Vec<Bytes> {
    vec![Bytes::from(text.to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_lost_is_no_conflict_with_itself() {
    let (_s3, proxy, store) = behind_a_proxy().await;
    let nats = nats::Server::start("");
    let Fleet { backend, .. } = Fleet::open(over::options(&store, &[&nats], "f")).await.unwrap();
    let ttl = Duration::from_secs(60);
    let tenant = TenantId::new("a").unwrap();

    proxy.lose("/registry/", 1);
    let first = backend.registry.put("k", "1".into(), Precondition::Absent).await.unwrap();
    assert_eq!(proxy.lost(), 1);
    proxy.lose("/registry/", 1);
    let second = backend.registry.put("k", "2".into(), Precondition::Revision(first)).await.unwrap();
    assert_eq!(proxy.lost(), 1);
    let entry = backend.registry.get("k").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from("2"), second));
    proxy.lose("/registry/", 1);
    backend.registry.delete("k", Precondition::Revision(second)).await.unwrap();
    assert_eq!(proxy.lost(), 1);

    for (at, text) in [(0, "first"), (1, "second"), (2, "third")] {
        proxy.lose("/journal/", 1);
        assert_eq!(backend.journal.append("s", at, one(text)).await.unwrap(), at + 1);
        assert_eq!(proxy.lost(), 1);
    }
    let read = backend.journal.read("s", 0, 9).await.unwrap();
    assert_eq!(read.iter().map(|r| &r.bytes[..]).collect::<Vec<_>>(), [&b"first"[..], b"second", b"third"]);

    proxy.lose("/results/", 1);
    let stored = backend.results.commit(&tenant, vec![(key(1), record("one"))]).await.unwrap();
    assert_eq!((stored, proxy.lost()), (vec![CommitOutcome::Stored], 1));

    proxy.lose("/leases/", 1);
    let lease = backend.leases.acquire("l", "h", ttl).await.unwrap().unwrap();
    assert_eq!(proxy.lost(), 1);
    proxy.lose("/leases/", 1);
    backend.leases.renew(&lease, ttl).await.unwrap();
    assert_eq!(proxy.lost(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_failed_without_an_answer_can_be_done_again() {
    let (_s3, proxy, store) = behind_a_proxy().await;
    let nats = nats::Server::start("");
    let mut options: FleetOptions = over::options(&store, &[&nats], "f");
    options.times.store_request = Duration::from_millis(700);
    let Fleet { backend, .. } = Fleet::open(options).await.unwrap();
    for at in 0..2u64 {
        proxy.lose("/journal/", u32::MAX);
        let failed = backend.journal.append("s", at, one("mine")).await;
        assert!(
            matches!(&failed, Err(error) if error.is_retryable() && !matches!(error, Error::Conflict { .. })),
            "{failed:?}"
        );
        proxy.lose("/journal/", 0);
        assert!(proxy.lost() > 0);
        let other = backend.journal.append("s", at, one("another")).await;
        assert!(matches!(other, Err(Error::Conflict { .. })), "it was done: {other:?}");
        assert_eq!(backend.journal.append("s", at, one("mine")).await.unwrap(), at + 1, "and it was ours");
        let again = backend.journal.append("s", at, one("mine")).await;
        assert!(matches!(again, Err(Error::Conflict { .. })), "but only once: {again:?}");
    }
    assert_eq!(backend.journal.read("s", 0, 9).await.unwrap().len(), 2);
}
