//! Nodes that come and go on purpose, that are cut off, and that are slow: a fleet of several processes on one machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use fabric_client::{Client, Paging, TaskFilter};
use fabric_tests::{Nats, Options, Server, hostile, until};
use fabric_types::{
    job::{JobSpec, JobState},
    rest::job::Job,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

/// Says that a process owns the jobs.
const OWNER: &str = "owner of the jobs";

struct Fleet {
    servers: Vec<Server>,
    nats: Nats,
    _shared: TempDir,
}

impl Fleet {
    /// So many processes that do everything, with one slot each; the first owns the jobs.
    async fn start(size: usize) -> Self {
        let (nats, shared) = (Nats::start(), tempfile::tempdir().unwrap());
        let store = format!("file://{}", shared.path().display());
        let args = ["--nats", nats.url(), "--store", &store, "--slots", "1"].map(ToOwned::to_owned).to_vec();
        let mut servers = vec![Server::start(Options { args: args.clone() }).await];
        until("the first owns the jobs", async || servers[0].log().contains(OWNER)).await;
        for _ in 1..size {
            servers.push(Server::start(Options { args: args.clone() }).await);
        }
        let fleet = Self { servers, nats, _shared: shared };
        fleet.complete().await;
        fleet.servers[0].example("montecarlo-pi").await;
        fleet
    }

    async fn complete(&self) {
        for server in &self.servers {
            until("every node is ready", async || {
                let page = server.client().nodes(&Paging::default()).await;
                page.is_ok_and(|p| p.items.iter().filter(|n| n.state == "ready").count() == self.servers.len())
            })
            .await;
        }
    }
}

/// A client that tries again, as the command line does.
fn patient(server: &Server) -> Client {
    Client::new(fabric_client::Options::new(server.url()).token(server.admin()).attempts(20)).unwrap()
}

fn spec(tasks: u64, samples: u64) -> JobSpec {
    let items: Vec<_> = (0..tasks).map(|seed| json!({"seed": seed, "samples": samples})).collect();
    let spec = json!({"function": "montecarlo-pi", "input": {"items": items}, "reduce": {}, "cache": false});
    serde_json::from_value(spec).unwrap()
}

async fn result(client: &Client, id: &str) -> (Job, Bytes) {
    let job = client.wait_job(id).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    (job, client.result(id).await.unwrap().bytes(1 << 20).await.unwrap())
}

#[tokio::test]
async fn a_rolling_restart_fails_nothing() {
    let mut fleet = Fleet::start(3).await;
    let work = spec(60, 2_000_000);
    let first = fleet.servers[0].client().submit(&work, None).await.unwrap();
    let (_, undisturbed) = result(fleet.servers[0].client(), first.id.as_str()).await;
    for at in [2, 1, 0] {
        let client = patient(&fleet.servers[(at + 1) % 3]);
        let job = client.submit(&work, None).await.unwrap();
        let id = job.id.as_str();
        until("the job is under way", async || client.job(id, None).await.unwrap().tasks.succeeded >= 3).await;
        // Everybody else is asked all the while, and answers.
        let (asking, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let asked = tokio::spawn({
            let (id, stop) = (id.to_owned(), stop.clone());
            async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    asking.job(&id, None).await.unwrap();
                    asking.nodes(&Paging::default()).await.unwrap();
                    count += 1;
                }
                count
            }
        });
        fleet.servers[at].restart_gently().await;
        let (job, bytes) = result(&client, id).await;
        stop.store(true, Ordering::Relaxed);
        assert!(asked.await.unwrap() > 0);
        assert_eq!(bytes, undisturbed);
        assert_eq!((job.tasks.failed, job.tasks.retries), (0, 0), "{at}");
        fleet.complete().await;
    }
}

#[tokio::test]
async fn what_is_known_already_waits_for_no_compiler() {
    let fleet = Fleet::start(2).await;
    let client = fleet.servers[0].client();
    let nodes = client.nodes(&Paging::default()).await.unwrap().items;
    // The first took the upload and has the module.
    let of = |server: &Server| nodes.iter().find(|n| n.url.as_deref() == Some(server.url())).unwrap().id.clone();
    let (warm, cold) = (of(&fleet.servers[0]), of(&fleet.servers[1]));
    client.node_mode(&cold, "cordon").await.unwrap();
    let work = JobSpec { cache: true, reduce: None, ..spec(20, 1000) };
    let first = client.submit(&work, None).await.unwrap();
    let (_, bytes) = result(client, first.id.as_str()).await;
    client.node_mode(&warm, "cordon").await.unwrap();
    client.node_mode(&cold, "uncordon").await.unwrap();
    let again = client.submit(&work, None).await.unwrap();
    let (again, same) = result(client, again.id.as_str()).await;
    assert_eq!((again.tasks.cached, same), (20, bytes));
    assert_eq!(fleet.servers[1].metric("fabric_task_cache_hits_total").await, Some(20.0));
    assert_eq!(fleet.servers[1].metric("fabric_compile_seconds_count").await, Some(0.0));
}

#[tokio::test]
async fn a_node_that_is_cut_off_stops_what_counts_as_lost() {
    let fleet = Fleet::start(1).await;
    let server = &fleet.servers[0];
    server.deploy("looping", hostile("endless-loop"), "[limits]\nfuel = 1000000000000000\ndeadline-ms = 600000").await;
    let looping: JobSpec = serde_json::from_value(json!({"function": "looping", "input": {"items": [1]}})).unwrap();
    server.client().submit(&looping, None).await.unwrap();
    server.until_metric("fabric_node_running_guests", |n| n >= 1.0).await;
    drop(fleet.nats);
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
    assert!(server.log().contains("what is here counts as lost and is stopped"), "{}", server.log());
}

#[tokio::test]
async fn a_slow_node_does_not_hold_a_job() {
    let fleet = Fleet::start(3).await;
    let slow = fleet.servers[2].process();
    let client = fleet.servers[0].client();
    // Awake for a thirtieth of the time: often enough to be heard, too seldom to get anywhere.
    let over = Arc::new(AtomicBool::new(false));
    let brake = std::thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(Ordering::Relaxed) {
                slow.signal("STOP");
                std::thread::sleep(Duration::from_millis(900));
                slow.signal("CONT");
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    });
    let job = client.submit(&spec(16, 30_000_000), None).await.unwrap();
    let (job, _) = result(client, job.id.as_str()).await;
    over.store(true, Ordering::Relaxed);
    brake.join().unwrap();
    // The copies gave the results, and the slow node was not taken for lost.
    assert_eq!((job.tasks.failed, job.tasks.retries), (0, 0));
    assert!(fleet.servers[0].metric("fabric_attempts_speculated_total").await.unwrap() >= 1.0);
    let filter = TaskFilter { paging: Paging { limit: Some(1000), ..Paging::default() }, ..TaskFilter::default() };
    let tasks = client.tasks(job.id.as_str(), &filter).await.unwrap().items;
    let name = std::fs::read_to_string(fleet.servers[2].folder().join("data/name")).unwrap();
    let copied = tasks.iter().filter(|t| t.attempts == 2 && t.node.as_ref().is_some_and(|n| n.as_str() != name.trim()));
    assert!(copied.count() >= 1, "{tasks:#?}");
}
