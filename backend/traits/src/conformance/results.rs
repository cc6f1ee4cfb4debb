//! Conformance suite for [`Results`].

use crate::results::{CommitOutcome, ResultBody, ResultRecord, Results};
use bytes::Bytes;
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
};
use futures::future::join_all;
use std::sync::Arc;

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Results>) {
    gives_back_what_was_committed(&*make().await).await;
    keeps_the_first(&*make().await).await;
    lets_one_of_many_commits_win(&*make().await).await;
    keeps_tenants_apart_and_deletes(&*make().await).await;
}

/// Returns an inline record of these bytes.
#[must_use]
pub fn record(bytes: &str) -> ResultRecord {
    ResultRecord {
        digest: ContentDigest::of(bytes.as_bytes()),
        len: bytes.len() as u64,
        body: ResultBody::Inline(Bytes::from(bytes.to_owned())),
        content_type: None,
        buckets: Vec::new(),
        fuel: 7,
    }
}

/// Returns the task key for a number. Keys come in pairs that share their first eight bytes.
#[must_use]
pub fn key(n: u32) -> TaskKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&(n / 2).to_be_bytes());
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    TaskKey(bytes)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

async fn gives_back_what_was_committed(results: &dyn Results) {
    let t = tenant("a");
    let full = ResultRecord {
        content_type: Some("text/plain".to_owned()),
        buckets: vec![0, 5, u64::from(u32::MAX) + 1],
        ..record("hello")
    };
    let object = ResultRecord { body: ResultBody::Object, len: 1 << 40, ..record("large") };
    let inline = record(&"x".repeat(crate::results::INLINE_BYTES));
    let list = vec![(key(1), full), (key(2), object), (key(3), record("")), (key(4), inline)];
    assert_eq!(results.commit(&t, list.clone()).await.unwrap(), [CommitOutcome::Stored; 4]);
    let found = results.get_many(&t, &[key(4), key(9), key(3), key(2), key(1)]).await.unwrap();
    let record = |n: usize| Some(list[n].1.clone());
    assert_eq!(found, [record(3), None, record(2), record(1), record(0)]);
    assert_eq!(results.get_many(&t, &[]).await.unwrap(), []);
    assert_eq!(results.commit(&t, Vec::new()).await.unwrap(), []);
}

async fn keeps_the_first(results: &dyn Results) {
    let t = tenant("a");
    let list = vec![(key(1), record("one")), (key(1), record("one")), (key(1), record("two")), (key(2), record("b"))];
    let differs = CommitOutcome::Differs(ContentDigest::of(b"one"));
    assert_eq!(
        results.commit(&t, list).await.unwrap(),
        [CommitOutcome::Stored, CommitOutcome::Same, differs, CommitOutcome::Stored]
    );
    assert_eq!(results.commit(&t, vec![(key(1), record("three"))]).await.unwrap(), [differs]);
    assert_eq!(results.get_many(&t, &[key(1)]).await.unwrap(), [Some(record("one"))]);
}

async fn lets_one_of_many_commits_win(results: &dyn Results) {
    let t = tenant("a");
    for n in 0..8 {
        let answers = join_all((0..32).map(|writer| {
            let text = format!("{}", writer % 2);
            results.commit(&t, vec![(key(n), record(&text))])
        }))
        .await;
        let answers: Vec<CommitOutcome> = answers.into_iter().map(|answer| answer.unwrap()[0]).collect();
        let count = |wanted: fn(&CommitOutcome) -> bool| answers.iter().filter(|a| wanted(a)).count();
        assert_eq!(count(|a| *a == CommitOutcome::Stored), 1);
        assert_eq!(count(|a| *a == CommitOutcome::Same), 15);
        assert_eq!(count(|a| matches!(a, CommitOutcome::Differs(_))), 16);
    }
}

async fn keeps_tenants_apart_and_deletes(results: &dyn Results) {
    let (a, b) = (tenant("a"), tenant("b"));
    assert_eq!(results.commit(&a, vec![(key(1), record("a"))]).await.unwrap(), [CommitOutcome::Stored]);
    assert_eq!(results.get_many(&b, &[key(1)]).await.unwrap(), [None]);
    assert_eq!(results.commit(&b, vec![(key(1), record("b"))]).await.unwrap(), [CommitOutcome::Stored]);
    results.delete(&a, &[key(1), key(5)]).await.unwrap();
    assert_eq!(results.get_many(&a, &[key(1)]).await.unwrap(), [None]);
    assert_eq!(results.get_many(&b, &[key(1)]).await.unwrap(), [Some(record("b"))]);
    assert_eq!(results.commit(&a, vec![(key(1), record("new"))]).await.unwrap(), [CommitOutcome::Stored]);
}
