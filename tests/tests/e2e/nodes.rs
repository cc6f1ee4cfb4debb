//! Nodes that are restarted, drained, cut off or slow, in a fleet of several processes on one machine.

use bytes::Bytes;
use fabric_client::{Client, InvokeRequest, NodeModeRequest, PageOptions, TaskQuery};
use fabric_tests::{Server, SmallFleet, cat, hostile, until};
use fabric_types::{
    Code,
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

/// Starts `size` processes with one slot each and deploys a function.
async fn fleet(size: usize) -> SmallFleet {
    let fleet = SmallFleet::start(size, &[]).await;
    fleet.servers[0].example("montecarlo-pi").await;
    fleet
}

/// Returns a client that retries, as the CLI does.
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
    let mut fleet = fleet(3).await;
    let work = spec(60, 2_000_000);
    let first = fleet.servers[0].client().submit(&work, None).await.unwrap();
    let (_, undisturbed) = result(fleet.servers[0].client(), first.id.as_str()).await;
    for at in [2, 1, 0] {
        let client = patient(&fleet.servers[(at + 1) % 3]);
        let job = client.submit(&work, None).await.unwrap();
        let id = job.id.as_str();
        until("the job is under way", async || client.job(id, None).await.unwrap().tasks.succeeded >= 3).await;
        // Another process is polled during the restart, and every request succeeds.
        let (asking, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let asked = tokio::spawn({
            let (id, stop) = (id.to_owned(), stop.clone());
            async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    asking.job(&id, None).await.unwrap();
                    asking.nodes(&PageOptions::default()).await.unwrap();
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
        fleet.complete(3).await;
    }
}

#[tokio::test]
async fn what_is_known_already_waits_for_no_compiler() {
    let fleet = fleet(2).await;
    let client = fleet.servers[0].client();
    let nodes = client.nodes(&PageOptions::default()).await.unwrap().items;
    // The first process received the upload and has compiled the module.
    let of =
        |server: &Server| nodes.iter().find(|n| n.facts.url.as_deref() == Some(server.url())).unwrap().facts.id.clone();
    let (warm, cold) = (of(&fleet.servers[0]), of(&fleet.servers[1]));
    client.set_node_mode(&cold, NodeModeRequest::Cordon).await.unwrap();
    let work = JobSpec { cache: true, reduce: None, ..spec(20, 1000) };
    let first = client.submit(&work, None).await.unwrap();
    let (_, bytes) = result(client, first.id.as_str()).await;
    client.set_node_mode(&warm, NodeModeRequest::Cordon).await.unwrap();
    client.set_node_mode(&cold, NodeModeRequest::Uncordon).await.unwrap();
    let again = client.submit(&work, None).await.unwrap();
    let (again, same) = result(client, again.id.as_str()).await;
    assert_eq!((again.tasks.cached, same), (20, bytes));
    assert_eq!(fleet.servers[1].metric("fabric_task_cache_hits_total").await, Some(20.0));
    assert_eq!(fleet.servers[1].metric("fabric_compile_seconds_count").await, Some(0.0));
}

#[tokio::test]
async fn a_node_that_is_cut_off_stops_what_counts_as_lost() {
    let fleet = fleet(1).await;
    let server = &fleet.servers[0];
    server.deploy("looping", hostile("endless-loop"), "[limits]\nfuel = 1000000000000000\ndeadline-ms = 600000").await;
    let looping: JobSpec = serde_json::from_value(json!({"function": "looping", "input": {"items": [1]}})).unwrap();
    server.client().submit(&looping, None).await.unwrap();
    server.until_metric("fabric_node_running_guests", |n| n >= 1.0).await;
    drop(fleet.nats);
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
    assert!(
        server.log().contains("no heartbeat was accepted within the attempt lease, stopping all attempts"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_slow_node_does_not_hold_a_job() {
    let fleet = fleet(3).await;
    let slow = fleet.servers[2].process();
    let client = fleet.servers[0].client();
    // The node runs for a thirtieth of the time: enough for heartbeats, too little for progress.
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
    // The speculative copies gave the results, and the slow node did not count as lost.
    assert_eq!((job.tasks.failed, job.tasks.retries), (0, 0));
    assert!(fleet.servers[0].metric("fabric_attempts_speculated_total").await.unwrap() >= 1.0);
    let filter = TaskQuery { limit: Some(1000), ..TaskQuery::default() };
    let tasks = client.tasks(job.id.as_str(), &filter).await.unwrap().items;
    let name = fleet.name(2);
    let copied = tasks.iter().filter(|t| t.attempts == 2 && t.node.as_ref().is_some_and(|n| n.as_str() != name));
    assert!(copied.count() >= 1, "{tasks:#?}");
}

#[tokio::test]
async fn the_documented_upgrade_leaves_every_node_open() {
    let mut fleet = fleet(3).await;
    for at in [2, 1, 0] {
        let name = fleet.name(at);
        let drained = fleet.servers[at].cli(&["nodes", "drain", &name, "--wait"]).await.ok();
        assert_eq!(drained.text().trim(), format!("{name} drained"));
        fleet.servers[at].restart_gently().await;
        let server = &fleet.servers[at];
        until("the process is ready", async || server.client().ready().await.is_ok()).await;
    }
    fleet.complete(3).await;
    // A cordon belongs to the node, not to its process, and survives the restart.
    let name = fleet.name(2);
    fleet.servers[0].cli(&["nodes", "cordon", &name]).await.ok();
    fleet.servers[2].restart_gently().await;
    until("the node is back", async || fleet.states(0).await.len() == 3).await;
    let states = fleet.states(0).await;
    assert!(states.contains(&(name, "cordoned".to_owned())), "{states:?}");
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_and_what_ran_goes_on_elsewhere() {
    let fleet = fleet(2).await;
    let server = &fleet.servers[0];
    server.deploy("looping", hostile("endless-loop"), "[limits]\nfuel = 1000000000000000\ndeadline-ms = 600000").await;
    let looping: JobSpec = serde_json::from_value(json!({"function": "looping", "input": {"items": [1]}})).unwrap();
    let job = server.client().submit(&looping, None).await.unwrap();
    let filter = TaskQuery::default();
    let node = async || server.client().tasks(job.id.as_str(), &filter).await.unwrap().items[0].node.clone();
    until("the task runs", async || server.client().job(job.id.as_str(), None).await.unwrap().tasks.running == 1).await;
    let first = node().await.unwrap();
    let drained = server.cli(&["nodes", "drain", first.as_str(), "--deadline", "2s", "--wait"]).await.ok();
    assert_eq!(drained.text().trim(), format!("{first} drained"));
    until("the task runs elsewhere", async || node().await.is_some_and(|now| now != first)).await;
    let job = server.client().job(job.id.as_str(), None).await.unwrap();
    assert_eq!((job.state, job.tasks.failed, job.tasks.retries), (JobState::Running, 0, 0));
    server.client().cancel_job(job.id.as_str()).await.unwrap();
}

#[tokio::test]
async fn a_call_whose_only_node_just_died_runs_on_no_other() {
    let mut fleet = fleet(1).await;
    fleet.join(&["--labels", "zone=moon"]).await;
    fleet.complete(2).await;
    let server = &fleet.servers[0];
    server.deploy("picky", cat(), "[resources.node-selector]\nzone = \"moon\"").await;
    assert_eq!(server.cli(&["invoke", "picky", "--data", "x"]).await.ok().text(), "x");
    fleet.servers[1].kill9().await;
    // Presence lists the node for a few more seconds: the call is offered to the dead node.
    let server = &fleet.servers[0];
    let once = Client::new(fabric_client::Options::new(server.url()).token(server.admin()).attempts(1)).unwrap();
    let refused = once
        .invoke("picky", InvokeRequest::new("y"))
        .await
        .expect_err("the call ran on a node without the required label");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
}
