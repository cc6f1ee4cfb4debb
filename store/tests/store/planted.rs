//! Files planted in a local directory cannot lead out of it, and the files of a crashed process are removed.

use fabric_store::{Error, ObjectPath, ObjectPrefix, PutOptions, Store, StoreOptions};
use fabric_types::id::TenantId;
use std::os::unix::fs::symlink;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

#[tokio::test]
async fn links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let store = Store::open(root.to_str().unwrap(), StoreOptions::default()).unwrap();
    let objects = store.objects(&TenantId::new("acme").unwrap());
    objects.put_bytes(&path("real"), "x".into(), PutOptions::default()).await.unwrap();
    let space = root.join("t.d/acme.d/objects.d");
    symlink("../../../../secret", space.join("out")).unwrap();
    symlink("real", space.join("inside")).unwrap();
    symlink(dir.path(), space.join("up.d")).unwrap();
    for at in ["out", "inside", "up/secret"] {
        assert!(objects.get_bytes(&path(at), 100).await.is_err(), "{at}");
    }
    assert!(objects.put_bytes(&path("up/new"), "x".into(), PutOptions::default()).await.is_err());
    assert!(!dir.path().join("new").exists());
    objects.put_bytes(&path("out"), "mine".into(), PutOptions::default()).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("secret")).unwrap(), "secret");
    let all = objects.list(&ObjectPrefix::default(), None, 10).await.unwrap().objects;
    assert_eq!(all.iter().map(|o| o.path.as_str()).collect::<Vec<_>>(), ["out", "real"]);
}

#[tokio::test]
async fn opening_removes_what_a_crash_left_and_nothing_of_a_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().to_str().unwrap();
    let neighbour = Store::open(text, StoreOptions::default()).unwrap();
    std::fs::create_dir(dir.path().join(".tmp/1-2")).unwrap();
    std::fs::write(dir.path().join(".tmp/1-2/0"), "half").unwrap();
    std::fs::write(dir.path().join(".tmp/1-2.lock"), "").unwrap();
    let store = Store::open(text, StoreOptions::default()).unwrap();
    assert!(!dir.path().join(".tmp/1-2").exists());
    for store in [&neighbour, &store] {
        let objects = store.objects(&TenantId::new("acme").unwrap());
        objects.put_bytes(&path("x"), "x".into(), PutOptions::default()).await.unwrap();
        assert!(matches!(objects.head(&path("y")).await, Err(Error::NotFound { .. })));
    }
}
