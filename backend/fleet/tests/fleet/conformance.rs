//! The conformance suites over a NATS server and an S3 server, and over a NATS cluster of three servers.

use crate::{
    nats,
    over::{self, Over},
};
use async_trait::async_trait;
use fabric_backend::{
    Error,
    conformance::{journal, lanes, leases, notices, presence, registry, results},
    lane::{FromNode, Lanes, NodeInbox, SchedulerInbox, ToNode},
};
use fabric_fleet::Fleet;
use fabric_store::Store;
use fabric_types::id::NodeId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// A send that takes longer counts as blocked.
const PATIENCE: Duration = Duration::from_secs(2);

macro_rules! lasts {
    ($name:ident) => {
        mod $name {
            use super::*;
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_s3() {
                let over = Over::s3().await;
                fabric_backend::conformance::$name::all(async || over.fresh().await.backend.$name).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_a_folder() {
                let over = Over::folder();
                fabric_backend::conformance::$name::all(async || over.fresh().await.backend.$name).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_memory() {
                let over = Over::memory();
                fabric_backend::conformance::$name::all(async || over.fresh().await.backend.$name).await;
            }
        }
    };
}

mod what_lasts {
    use super::*;
    lasts!(registry);
    lasts!(journal);
    lasts!(results);
    lasts!(leases);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_over_one_server() {
    let over = Over::memory();
    presence::all(async || over.fresh().await.backend.presence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_over_one_server() {
    let over = Over::memory();
    lanes::all_within(async || over.fresh().await.backend.lanes, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_over_one_server() {
    let over = Over::memory();
    notices::all(async || over.fresh().await.backend.notices).await;
}

/// Lanes with the receiving ends in one process and the senders in another.
struct Apart {
    receiver: Fleet,
    sender: Fleet,
}

#[async_trait]
impl Lanes for Apart {
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error> {
        self.sender.backend.lanes.send(node, message).await
    }
    async fn report(&self, message: FromNode) -> Result<(), Error> {
        self.sender.backend.lanes.report(message).await
    }
    async fn open(&self, node: &NodeId) -> Result<Box<dyn NodeInbox>, Error> {
        self.receiver.backend.lanes.open(node).await
    }
    async fn open_inbox(&self) -> Result<Box<dyn SchedulerInbox>, Error> {
        self.receiver.backend.lanes.open_inbox().await
    }
}

/// A fabric over three NATS servers. Each process is configured with one of them.
struct Three {
    servers: [nats::Server; 3],
    store: Store,
    count: AtomicU32,
}

impl Three {
    async fn start() -> Self {
        let three = Self { servers: nats::Server::cluster(), store: Store::memory(), count: AtomicU32::new(0) };
        // The cluster is formed when each server delivers messages of each other server.
        for (listener, speaker) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            let listener = async_nats::connect(three.servers[listener].url()).await.unwrap();
            let speaker = async_nats::connect(three.servers[speaker].url()).await.unwrap();
            let mut heard = listener.subscribe("ready").await.unwrap();
            listener.flush().await.unwrap();
            let speak = async {
                loop {
                    speaker.publish("ready", "".into()).await.unwrap();
                    speaker.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                _ = futures::StreamExt::next(&mut heard) => {}
                () = speak => {}
            }
        }
        three
    }

    async fn open(&self, server: usize, name: &str) -> Fleet {
        Fleet::open(over::options(&self.store, &[&self.servers[server]], name)).await.unwrap()
    }

    fn name(&self) -> String {
        format!("fresh-{}", self.count.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_over_three_servers() {
    let three = Three::start().await;
    let fresh = async |server: usize| three.open(server, &three.name()).await.backend;
    registry::all(async || fresh(0).await.registry).await;
    journal::all(async || fresh(1).await.journal).await;
    results::all(async || fresh(2).await.results).await;
    leases::all(async || fresh(0).await.leases).await;
    presence::all(async || fresh(1).await.presence).await;
    notices::all(async || fresh(2).await.notices).await;
    lanes::all_within(async || fresh(0).await.lanes, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_across_processes_and_servers() {
    let three = Three::start().await;
    let apart = async || {
        let name = three.name();
        let apart: Arc<dyn Lanes> =
            Arc::new(Apart { receiver: three.open(0, &name).await, sender: three.open(2, &name).await });
        apart
    };
    lanes::all_within(apart, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_server_goes_on_with_another() {
    let mut three = Three::start().await;
    let (here, there) = (three.open(0, "f").await, three.open(2, "f").await);
    let node = NodeId::new("n").unwrap();
    let mut inbox = here.backend.lanes.open(&node).await.unwrap();
    let message = ToNode::AbortJob { job: fabric_types::id::JobId::from_parts(1, 1) };
    there.backend.lanes.send(&node, message.clone()).await.unwrap();
    assert_eq!(inbox.recv().await, Some(message.clone()));
    three.servers[0].kill();
    // The server of `here` is dead, so a received message came over another one.
    while there.backend.lanes.send(&node, message.clone()).await.is_err() {}
    assert_eq!(inbox.recv().await, Some(message));
    assert_eq!(here.health.stats().reconnects, 1);
}
