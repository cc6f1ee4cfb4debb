//! The conformance suite over every kind of store.

use fabric_store::{Durability, Store, StoreOptions, conformance};

#[tokio::test]
async fn memory() {
    conformance::all(&Store::memory(), "m").await.unwrap();
    conformance::byte_order(&Store::memory(), "m").await.unwrap();
}

#[tokio::test]
async fn local() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    conformance::all(&store, "l").await.unwrap();
    conformance::byte_order(&store, "l").await.unwrap();
}

#[tokio::test]
async fn local_without_waiting_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().join("made for it").display()).replace(' ', "%20");
    let store = Store::open(&url, StoreOptions { durability: Durability::Process }).unwrap();
    conformance::all(&store, "l").await.unwrap();
}

#[tokio::test]
async fn s3() {
    let server = crate::weed::Server::start().await;
    let store = Store::open(&server.url("fabric/some/prefix"), StoreOptions::default()).unwrap();
    conformance::all(&store, "s").await.unwrap();
}
