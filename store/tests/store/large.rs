//! Conditions on objects that are written in parts.

use bytes::Bytes;
use fabric_store::{Conditions, Error, ObjectPath, Objects, PutOptions, Range, Store, StoreOptions};
use fabric_types::{Code, id::TenantId};
use futures::{Stream, TryStreamExt as _, stream};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const PIECES: usize = 33;

/// Returns 33 MiB of one letter. `taken` counts the requested pieces.
fn body(letter: u8, taken: &Arc<AtomicUsize>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let taken = Arc::clone(taken);
    stream::iter((0..PIECES).map(move |_| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(vec![letter; 1 << 20].into())
    }))
}

fn only_if(etag: &str) -> PutOptions {
    PutOptions { if_match: Some(etag.to_owned()), ..PutOptions::default() }
}

async fn first_letter(objects: &Objects, path: &ObjectPath) -> Bytes {
    let body = objects.get(path, Range::Bytes(0, 1), &Conditions::default()).await.unwrap();
    body.stream.try_collect::<Vec<_>>().await.unwrap().concat().into()
}

#[tokio::test]
async fn a_local_directory_replaces_only_the_version_that_was_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    let objects = store.objects(&TenantId::new("acme").unwrap());
    let (path, taken) = (ObjectPath::new("x").unwrap(), Arc::default());
    let first = objects.put(&path, body(b'a', &taken), PutOptions::default()).await.unwrap();
    let second = objects.put(&path, body(b'b', &taken), only_if(&first.etag)).await.unwrap();
    assert_ne!(first.etag, second.etag);
    assert_eq!(taken.swap(0, Ordering::Relaxed), 2 * PIECES);
    for refused in [only_if(&first.etag), PutOptions { if_absent: true, ..PutOptions::default() }] {
        let error = objects.put(&path, body(b'c', &taken), refused).await.unwrap_err();
        assert!(matches!(error, Error::PreconditionFailed { .. }), "{error}");
    }
    assert!(taken.load(Ordering::Relaxed) < PIECES, "what can't be kept is not read to the end");
    assert_eq!(first_letter(&objects, &path).await, "b");
    objects.delete(&path).await.unwrap();
    let error = objects.put(&path, body(b'd', &taken), only_if(&second.etag)).await.unwrap_err();
    assert!(matches!(error, Error::PreconditionFailed { .. }), "{error}");
    assert_eq!(
        std::fs::read_dir(dir.path().join(".tmp"))
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.path().is_dir())
            .flat_map(|e| std::fs::read_dir(e.path()).unwrap())
            .count(),
        0
    );
}

#[tokio::test]
async fn a_remote_store_says_that_it_can_not() {
    let objects = Store::memory().objects(&TenantId::new("acme").unwrap());
    let (path, taken) = (ObjectPath::new("x").unwrap(), Arc::default());
    let there = objects.put(&path, body(b'a', &taken), PutOptions::default()).await.unwrap();
    let error = objects.put(&path, body(b'b', &taken), only_if(&there.etag)).await.unwrap_err();
    assert_eq!(error.code(), Code::BadRequest);
    assert!(error.to_string().contains("more than 8 MiB"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(first_letter(&objects, &path).await, "a");
}
