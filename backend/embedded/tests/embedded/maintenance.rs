//! The embedded backend counts the data of each tenant, expires results by their last use, and shrinks its file.

use bytes::Bytes;
use fabric_backend::{
    Backend,
    maintenance::{Expired, ROW_BYTES},
    registry::Precondition,
    results::{ResultBody, ResultRecord},
};
use fabric_embedded::Embedded;
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
    storage::StorageKind,
};
use std::time::{Duration, SystemTime};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(n: u32) -> TaskKey {
    TaskKey(ContentDigest::of(&n.to_le_bytes()).0)
}

async fn commit(backend: &Backend, whose: &str, from: u32, count: u32, bytes: usize) {
    let record = |n: u32| {
        let body = Bytes::from(vec![n as u8; bytes]);
        let digest = ContentDigest::of(&body);
        let body = ResultBody::Inline(body);
        let buckets = Vec::new();
        (key(n), ResultRecord { digest, len: bytes as u64, body, content_type: None, buckets, fuel: 1 })
    };
    backend.results.commit(&tenant(whose), (from..from + count).map(record).collect()).await.unwrap();
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn everything_of_a_tenant_is_counted_and_nothing_of_another() {
    let backend = Embedded::in_memory().unwrap();
    commit(&backend, "a", 0, 3, 100).await;
    commit(&backend, "b", 0, 1, 7).await;
    let value = || Bytes::from(vec![0; 50]);
    backend.registry.put("sys/idem/a/key", value(), Precondition::Any).await.unwrap();
    backend.registry.put("t/a/functions/f/versions/1", value(), Precondition::Any).await.unwrap();
    backend.registry.put("sys/usage", value(), Precondition::Any).await.unwrap();
    backend.journal.append("t/a/jobs/j", 0, vec![value(), value()]).await.unwrap();
    let sizes = backend.maintenance.sizes().await.unwrap();
    let of_a = &sizes[&tenant("a")];
    assert_eq!(of_a[&StorageKind::Results], 3 * (100 + ROW_BYTES));
    assert_eq!(of_a[&StorageKind::Answers], 50 + ROW_BYTES);
    assert_eq!(of_a[&StorageKind::Functions], 50 + ROW_BYTES);
    assert_eq!(of_a[&StorageKind::Jobs], 2 * (50 + ROW_BYTES));
    assert_eq!(sizes[&tenant("b")][&StorageKind::Results], 7 + ROW_BYTES);
    assert_eq!(sizes.len(), 2);
}

#[tokio::test]
async fn results_expire_for_one_tenant_up_to_the_limit_and_not_before_their_time() {
    let backend = Embedded::in_memory().unwrap();
    commit(&backend, "a", 0, 5, 100).await;
    commit(&backend, "b", 0, 5, 100).await;
    let a = tenant("a");
    let expire = |before| backend.maintenance.expire_results(&a, before, 3);
    assert_eq!(expire(now_ms() - 60_000).await.unwrap(), Expired::default());
    let later = now_ms() + 60_000;
    let counted = backend.maintenance.count_expired(&a, later).await.unwrap();
    assert_eq!(counted, Expired { results: 5, bytes: 5 * (100 + ROW_BYTES) });
    assert_eq!(backend.maintenance.count_expired(&a, now_ms() - 60_000).await.unwrap(), Expired::default());
    assert_eq!(expire(later).await.unwrap(), Expired { results: 3, bytes: 3 * (100 + ROW_BYTES) });
    assert_eq!(expire(later).await.unwrap().results, 2);
    assert_eq!(expire(later).await.unwrap().results, 0);
    let keys: Vec<_> = (0..5).map(key).collect();
    let left = backend.results.get_many(&tenant("b"), &keys).await.unwrap();
    assert!(left.iter().all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_keeps_a_result_and_what_expired_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let backend = Embedded::open(&path).unwrap();
    for part in 0..8 {
        commit(&backend, "a", part * 50, 50, 60_000).await;
    }
    drop(backend);
    let full = std::fs::metadata(&path).unwrap().len();
    assert!(full > 20 << 20, "{full}");
    // All results were last used two days ago. Then one is read.
    let two_days = i64::try_from(now_ms() / 1000).unwrap() - 2 * 86_400;
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE results SET used = ?1", [two_days]).unwrap();
    drop(conn);
    let backend = Embedded::open(&path).unwrap();
    assert!(backend.results.get_many(&tenant("a"), &[key(7)]).await.unwrap()[0].is_some());
    let expired = backend.maintenance.expire_results(&tenant("a"), now_ms() - 86_400_000, 10_000).await.unwrap();
    assert_eq!(expired.results, 399);
    assert!(backend.results.get_many(&tenant("a"), &[key(7)]).await.unwrap()[0].is_some());
    let shrunk = async {
        while std::fs::metadata(&path).unwrap().len() > full / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shrunk).await.unwrap();
}
