//! Measurements of typical operations, printed and not asserted.

use crate::over::Over;
use bytes::Bytes;
use fabric_backend::{
    conformance::results::{key, record},
    lane::ToNode,
    registry::Precondition,
};
use fabric_types::id::{JobId, NodeId, TenantId};
use std::time::{Duration, Instant};

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    eprintln!("{what}: p50 {:?}, p99 {:?}", at(50), at(99));
}

async fn measure(what: &str, count: usize, mut one: impl AsyncFnMut(usize)) {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let start = Instant::now();
        one(n).await;
        times.push(start.elapsed());
    }
    print(what, times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_things_take() {
    let over = Over::s3().await;
    let (fleet, other) = (over.open("f").await, over.open("f").await);
    let backend = &fleet.backend;
    measure("registry put (new key)", 200, async |n| {
        backend.registry.put(&format!("k/{n}"), "value".into(), Precondition::Absent).await.unwrap();
    })
    .await;
    measure("registry put (any)", 200, async |n| {
        backend.registry.put(&format!("k/{n}"), "value".into(), Precondition::Any).await.unwrap();
    })
    .await;
    measure("registry get", 200, async |n| {
        backend.registry.get(&format!("k/{n}")).await.unwrap().unwrap();
    })
    .await;
    measure("registry list of 200, values remembered", 10, async |_| {
        assert_eq!(backend.registry.list("k/", None, 1000).await.unwrap().len(), 200);
    })
    .await;
    measure("registry list of 200, by a process that knows none", 1, async |_| {
        assert_eq!(other.backend.registry.list("k/", None, 1000).await.unwrap().len(), 200);
    })
    .await;
    let kilobyte = Bytes::from(vec![7; 1024]);
    measure("journal append of 1 KiB", 300, async |n| {
        backend.journal.append("s", n as u64, vec![kilobyte.clone()]).await.unwrap();
    })
    .await;
    measure("journal read of 300 appends", 5, async |_| {
        assert_eq!(other.backend.journal.read("s", 0, 1000).await.unwrap().len(), 300);
    })
    .await;
    let tenant = TenantId::new("a").unwrap();
    measure("results commit of 64", 10, async |n| {
        let n = u32::try_from(n).unwrap() * 64;
        let batch = (n..n + 64).map(|n| (key(n), record("small result"))).collect();
        backend.results.commit(&tenant, batch).await.unwrap();
    })
    .await;
    measure("results get_many of 64", 10, async |n| {
        let n = u32::try_from(n).unwrap() * 64;
        let keys: Vec<_> = (n..n + 64).map(key).collect();
        assert!(backend.results.get_many(&tenant, &keys).await.unwrap().iter().all(Option::is_some));
    })
    .await;
    let ttl = Duration::from_secs(60);
    let lease = backend.leases.acquire("l", "h", ttl).await.unwrap().unwrap();
    measure("lease renew", 100, async |_| backend.leases.renew(&lease, ttl).await.unwrap()).await;
    let node = NodeId::new("n").unwrap();
    let mut inbox = other.backend.lanes.open(&node).await.unwrap();
    measure("lane round trip between two processes' connections", 1000, async |n| {
        backend.lanes.send(&node, ToNode::AbortJob { job: JobId::from_parts(n as u64, 0) }).await.unwrap();
        inbox.recv().await.unwrap();
    })
    .await;
}
