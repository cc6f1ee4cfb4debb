//! The servers and stores that the tests open fleets over.

use crate::{nats, weed};
use fabric_fleet::{Fleet, FleetOptions};
use fabric_store::{Store, StoreOptions};
use std::sync::atomic::{AtomicU32, Ordering};

/// A NATS server and a store.
pub struct Over {
    pub nats: nats::Server,
    pub store: Store,
    _s3: Option<weed::Server>,
    _dir: Option<tempfile::TempDir>,
    count: AtomicU32,
}

impl Over {
    /// Memory instead of S3, for tests of NATS.
    pub fn memory() -> Self {
        Self { nats: nats::Server::start(""), store: Store::memory(), _s3: None, _dir: None, count: AtomicU32::new(0) }
    }

    /// A folder shared by the processes of one machine.
    pub fn folder() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        Self { nats: nats::Server::start(""), store, _s3: None, _dir: Some(dir), count: AtomicU32::new(0) }
    }

    /// A real S3 server.
    pub async fn s3() -> Self {
        let s3 = weed::Server::start().await;
        let store = Store::open(&s3.url("fabric/some/prefix"), StoreOptions::default()).unwrap();
        Self { nats: nats::Server::start(""), store, _s3: Some(s3), _dir: None, count: AtomicU32::new(0) }
    }

    pub fn options(&self, name: &str) -> FleetOptions {
        options(&self.store, &[&self.nats], name)
    }

    /// Opens a process of the fabric with this name.
    pub async fn open(&self, name: &str) -> Fleet {
        Fleet::open(self.options(name)).await.unwrap()
    }

    /// Opens a process of a new fabric.
    pub async fn fresh(&self) -> Fleet {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        self.open(&format!("fresh-{n}")).await
    }
}

pub fn options(store: &Store, servers: &[&nats::Server], name: &str) -> FleetOptions {
    let (store, root) = store.object_store();
    let urls = servers.iter().map(|server| server.url()).collect();
    FleetOptions { name: name.to_owned(), ..FleetOptions::new(store, root, urls) }
}

/// Runs `one` for all fleets concurrently.
pub async fn all<T>(fleets: &[Fleet], one: impl AsyncFn(usize, &Fleet) -> T) -> Vec<T> {
    futures::future::join_all(fleets.iter().enumerate().map(|(n, fleet)| one(n, fleet))).await
}
