//! The result store over the embedded backend in memory and an object store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use fabric_backend::{maintenance::ROW_BYTES, results::INLINE_BYTES};
use fabric_embedded::Embedded;
use fabric_results::{Committed, NewResult, ResultStore};
use fabric_store::Store;
use fabric_types::{
    Code,
    digest::{ContentDigest, TaskKey},
    id::TenantId,
    memory::{Charge, MemoryAccount},
    storage::StorageKind,
    units::ByteSize,
    work::OutputRef,
};
use futures::TryStreamExt as _;

struct Bed {
    results: ResultStore,
    store: Store,
    tenant: TenantId,
}

fn bed() -> Bed {
    let store = Store::memory();
    let results = ResultStore::new(Embedded::in_memory().unwrap().results, store.clone());
    Bed { results, store, tenant: TenantId::new("acme").unwrap() }
}

fn result(key: u8, bytes: impl Into<Bytes>) -> NewResult {
    let content_type = Some("text/plain".to_owned());
    NewResult { key: TaskKey([key; 32]), bytes: bytes.into(), content_type, buckets: Vec::new(), fuel: 7 }
}

/// Returns bytes that are stored as an object.
fn large(byte: u8) -> Bytes {
    vec![byte; INLINE_BYTES + 1].into()
}

/// Returns the name of the object of these bytes.
fn object(bytes: &[u8]) -> TaskKey {
    TaskKey(ContentDigest::of(bytes).0)
}

impl Bed {
    async fn commit(&self, result: NewResult) -> Committed {
        self.results.commit(&self.tenant, vec![result]).await.unwrap().remove(0)
    }

    async fn read(&self, output: &OutputRef) -> Bytes {
        self.results.read(&self.tenant, output, u64::MAX).await.unwrap()
    }

    async fn range(&self, output: &OutputRef, range: std::ops::Range<u64>) -> Vec<u8> {
        let open = self.results.open(&self.tenant, output, Some(range)).await.unwrap();
        assert_eq!((open.len, open.content_type.as_deref()), (output.len, Some("text/plain")));
        let pieces: Vec<Bytes> = open.body.try_collect().await.unwrap();
        pieces.concat()
    }

    fn used(&self) -> u64 {
        self.store.accounts().of(&self.tenant).used_bytes.0
    }
}

#[tokio::test]
async fn small_results_are_inline_and_large_ones_are_objects() {
    let bed = bed();
    for (key, bytes) in [(1, Bytes::new()), (2, "hello".into()), (3, vec![b'x'; INLINE_BYTES].into()), (4, large(1))] {
        let is_object = bytes.len() > INLINE_BYTES;
        let committed = bed.commit(result(key, bytes.clone())).await;
        let output = OutputRef { key: TaskKey([key; 32]), digest: ContentDigest::of(&bytes), len: bytes.len() as u64 };
        assert_eq!(committed, Committed { output, rejected_digest: None });
        assert_eq!(bed.read(&output).await, bytes);
        let found = bed.store.results(&bed.tenant).find(&object(&bytes)).await.unwrap();
        assert_eq!(found.is_some(), is_object, "{key}");
    }
    let keys = [TaskKey([2; 32]), TaskKey([9; 32])];
    let found = bed.results.find(&bed.tenant, &keys).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().0.len, 5);
    assert_eq!(found[1], None);
}

#[tokio::test]
async fn a_range_is_cut_to_the_result() {
    let bed = bed();
    let mut bytes = vec![0; INLINE_BYTES * 2];
    bytes[10..15].copy_from_slice(b"hello");
    for (key, bytes) in [(1, bytes[..100].to_vec()), (2, bytes)] {
        let len = bytes.len() as u64;
        let output = bed.commit(result(key, bytes.clone())).await.output;
        assert_eq!(bed.range(&output, 10..15).await, b"hello");
        assert_eq!(bed.range(&output, len - 2..len + 50).await, [0, 0]);
        assert_eq!(bed.range(&output, len..len + 1).await, [0; 0]);
        assert_eq!(bed.range(&output, 0..u64::MAX).await, bytes);
    }
}

#[tokio::test]
async fn the_first_writer_wins_and_a_differing_second_is_reported() {
    let bed = bed();
    for (key, first, second) in [(1, Bytes::from("first"), Bytes::from("second")), (2, large(1), large(2))] {
        let stored = bed.commit(result(key, first.clone())).await;
        assert_eq!(bed.commit(result(key, first.clone())).await, stored, "equal bytes are no difference");
        let rejected = bed.commit(result(key, second.clone())).await;
        assert_eq!(rejected.output, stored.output);
        assert_eq!(rejected.rejected_digest, Some(ContentDigest::of(&second)));
        assert_eq!(bed.read(&rejected.output).await, first);
    }
    let twice = vec![result(3, "a"), result(3, "b"), result(4, "c")];
    let answers = bed.results.commit(&bed.tenant, twice).await.unwrap();
    let rejected: Vec<_> = answers.iter().map(|answer| answer.rejected_digest).collect();
    assert_eq!(rejected, [None, Some(ContentDigest::of(b"b")), None]);
    assert_eq!(answers[1].output, answers[0].output);
}

#[tokio::test]
async fn a_missing_object_is_a_retryable_fault_and_no_result() {
    let bed = bed();
    let shuffled = NewResult { buckets: vec![0, 10, 20], ..result(1, large(1)) };
    let output = bed.commit(shuffled).await.output;
    bed.store.results(&bed.tenant).delete(&object(&large(1))).await.unwrap();
    let charge = Charge::none(&MemoryAccount::unbounded().tenant(&bed.tenant));
    let faults = [
        bed.results.read(&bed.tenant, &output, u64::MAX).await.unwrap_err(),
        bed.results.open(&bed.tenant, &output, None).await.err().expect("it is missing"),
        bed.results.open(&bed.tenant, &output, Some(0..1)).await.err().expect("it is missing"),
        bed.results.buckets(&bed.tenant, &[output], 1, &charge).await.unwrap_err(),
    ];
    for fault in faults {
        assert_eq!(fault.code, Code::StoreUnavailable, "{fault:?}");
        assert!(fault.code.is_retryable());
    }
    // Committing the same bytes again restores the object.
    assert_eq!(bed.commit(result(1, large(1))).await, Committed { output, rejected_digest: None });
    assert_eq!(bed.read(&output).await, large(1));
}

#[tokio::test]
async fn a_result_that_was_never_committed_is_not_found_and_a_large_one_is_not_read_whole() {
    let bed = bed();
    let absent = OutputRef { key: TaskKey([9; 32]), digest: ContentDigest::of(b""), len: 0 };
    let charge = Charge::none(&MemoryAccount::unbounded().tenant(&bed.tenant));
    assert_eq!(bed.results.read(&bed.tenant, &absent, 1).await.unwrap_err().code, Code::NotFound);
    assert_eq!(bed.results.buckets(&bed.tenant, &[absent], 0, &charge).await.unwrap_err().code, Code::NotFound);
    let output = bed.commit(result(1, "hello")).await.output;
    assert_eq!(bed.results.read(&bed.tenant, &output, 4).await.unwrap_err().code, Code::TooLarge);
    let other = TenantId::new("other").unwrap();
    assert_eq!(bed.results.read(&other, &output, 5).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn a_tenant_pays_once_for_what_is_stored_and_not_for_what_is_not() {
    let bed = bed();
    bed.commit(result(1, "hello")).await;
    let inline = ROW_BYTES + 5;
    assert_eq!(bed.used(), inline);
    bed.commit(result(1, "hello")).await;
    bed.commit(result(1, "other")).await;
    assert_eq!(bed.used(), inline, "nothing was stored");
    bed.commit(NewResult { buckets: vec![0, 1], ..result(2, large(1)) }).await;
    // Two bounds of buckets in the row, and the object with its entry in the store.
    let with_object = inline + ROW_BYTES + 16 + large(1).len() as u64 + 4096;
    assert_eq!(bed.used(), with_object);
    // The same bytes under another key share the object.
    bed.commit(result(3, large(1))).await;
    assert_eq!(bed.used(), with_object + ROW_BYTES);
}

#[tokio::test]
async fn a_result_above_the_quota_is_refused_and_the_others_of_its_batch_are_committed() {
    let bed = bed();
    bed.store.accounts().set_quota(&bed.tenant, Some(2 * ROW_BYTES + 100));
    let batch = || vec![result(1, "small"), result(2, vec![0; 1000]), result(3, "small")];
    let answers = bed.results.commit_each(&bed.tenant, batch()).await.unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().code, Code::StorageQuota);
    assert_eq!(bed.used(), 2 * (ROW_BYTES + 5), "a refused result leaves no reservation");
    assert_eq!(bed.results.find(&bed.tenant, &[TaskKey([2; 32])]).await.unwrap(), [None]);
    assert_eq!(bed.results.commit(&bed.tenant, batch()).await.unwrap_err().code, Code::StorageQuota);
    assert_eq!(bed.store.accounts().of(&bed.tenant).kinds.len(), StorageKind::ALL.len());
}

#[tokio::test]
async fn buckets_are_charged_before_they_are_read() {
    let bed = bed();
    let inline = bed.commit(NewResult { buckets: vec![0, 2, 5], ..result(1, "abcde") }).await.output;
    let end = large(7).len() as u64;
    let object = bed.commit(NewResult { buckets: vec![0, 10, end], ..result(2, large(7)) }).await.output;
    let account = MemoryAccount::unbounded();
    let charge = Charge::none(&account.tenant(&bed.tenant));
    let read = bed.results.buckets(&bed.tenant, &[object, inline], 0, &charge).await.unwrap();
    assert_eq!(read, [Bytes::from(vec![7; 10]), Bytes::from("ab")]);
    assert_eq!(charge.bytes(), 10 + 5, "a slice of an inline result keeps all of it");
    assert_eq!(account.used(), 15);
    let absent = bed.results.buckets(&bed.tenant, &[inline], 2, &charge).await.unwrap_err();
    assert_eq!(absent.code, Code::Internal);
    // An account without room refuses, and the refusal changes nothing.
    let full = MemoryAccount::new(ByteSize(1000), 100, ByteSize(0));
    let charge = Charge::none(&full.tenant(&bed.tenant));
    let refused = bed.results.buckets(&bed.tenant, &[inline, object], 1, &charge).await;
    assert!(refused.is_err());
    assert_eq!(charge.bytes(), 5, "only the inline result was charged");
    drop(charge);
    assert_eq!(full.used(), 0);
}
