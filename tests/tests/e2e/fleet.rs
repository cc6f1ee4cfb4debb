//! Several processes as one fabric, over a shared NATS server and store: a job spreads over them and survives the loss
//! of the process that owns it.

use bytes::Bytes;
use fabric_client::{LogQuery, PageOptions, TaskQuery};
use fabric_tests::{Nats, Options, Server, hostile, until};
use fabric_types::job::{JobSpec, JobState};
use std::{collections::BTreeSet, process::Stdio};
use tempfile::TempDir;

/// The log line of the process that owns the jobs.
const OWNER: &str = ": owner of the jobs";

struct Fleet {
    // Fields are dropped in this order: the processes before the services that they need.
    owner: Server,
    other: Server,
    _node: tokio::process::Child,
    _nats: Nats,
    _shared: TempDir,
}

impl Fleet {
    /// Starts two processes with all roles and one that only runs guests.
    async fn start() -> Self {
        let (nats, shared) = (Nats::start(), tempfile::tempdir().unwrap());
        let store = format!("file://{}", shared.path().display());
        let joined = ["--nats", nats.url(), "--store", &store, "--slots", "1"].map(ToOwned::to_owned);
        let owner = Server::start(Options { args: joined.to_vec() }).await;
        until("the first owns the jobs", async || owner.log().contains(OWNER)).await;
        let other = Server::start(Options { args: joined.to_vec() }).await;
        let data = other.folder().join("node");
        let mut line = vec!["serve", "--role", "node", "--data", data.to_str().unwrap()];
        line.extend(joined.iter().map(String::as_str));
        let node = other.cli_command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Request it from the process that forwards to the owner.
        until("three nodes", async || {
            other.client().nodes(&PageOptions::default()).await.is_ok_and(|page| page.items.len() == 3)
        })
        .await;
        other.example("montecarlo-pi").await;
        Self { owner, other, _node: node, _nats: nats, _shared: shared }
    }

    /// Submits the job through the process that does not own it. Returns the job id.
    async fn submit(&self) -> String {
        let items: Vec<_> = (0..400).map(|seed| serde_json::json!({"seed": seed, "samples": 20_000})).collect();
        let spec: JobSpec = serde_json::from_value(serde_json::json!(
            {"function": "montecarlo-pi", "input": {"items": items}, "reduce": {}, "cache": false}
        ))
        .unwrap();
        self.other.client().submit(&spec, None).await.unwrap().id.to_string()
    }

    async fn succeeded(&self, id: &str) -> u64 {
        self.other.client().job(id, None).await.map_or(0, |job| job.tasks.succeeded)
    }

    /// Waits until the job has succeeded and returns its result.
    async fn result(&self, id: &str) -> Bytes {
        let client = self.other.client();
        until("the job has ended", async || client.job(id, None).await.is_ok_and(|job| job.state.is_terminal())).await;
        let job = client.job(id, None).await.unwrap();
        assert_eq!(job.state, JobState::Succeeded, "{:?}\n{}", job.error, self.other.log());
        assert_eq!(job.tasks.succeeded, job.tasks.total);
        client.result(id).await.unwrap().bytes(1 << 20).await.unwrap()
    }
}

#[tokio::test]
async fn a_job_spreads_over_the_fleet_and_survives_the_death_of_its_owner() {
    let mut fleet = Fleet::start().await;
    // Each process has its own metrics. Only the owner has those of jobs.
    assert!(fleet.owner.metric("fabric_jobs_accepted_total").await.is_some());
    assert!(fleet.other.metric("fabric_invocations_total").await.is_some());
    assert!(fleet.other.metric("fabric_jobs_accepted_total").await.is_none());

    let id = fleet.submit().await;
    let undisturbed = fleet.result(&id).await;
    // Each node compiles the module for its first task, and the others are faster until then.
    until("every node holds the module", async || {
        let page = fleet.other.client().nodes(&PageOptions::default()).await;
        page.is_ok_and(|page| page.items.iter().all(|node| !node.facts.warm.is_empty()))
    })
    .await;
    let id = fleet.submit().await;
    assert_eq!(fleet.result(&id).await, undisturbed);
    let filter = TaskQuery { limit: Some(1000), ..TaskQuery::default() };
    let tasks = fleet.other.client().tasks(&id, &filter).await.unwrap().items;
    let nodes: BTreeSet<_> = tasks.iter().filter_map(|task| task.node.clone()).collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");

    let id = fleet.submit().await;
    until("the job is under way", async || fleet.succeeded(&id).await >= 20).await;
    fleet.owner.kill9().await;
    assert_eq!(fleet.result(&id).await, undisturbed);
    assert!(fleet.other.log().contains(OWNER));
    // The new owner has the functions, jobs and results of the first.
    fleet.other.cli(&["invoke", "montecarlo-pi", "--data", r#"{"seed":1,"samples":10}"#]).await.ok();
}

#[tokio::test]
async fn an_owner_that_was_frozen_past_its_lease_ends_and_changes_nothing() {
    let mut fleet = Fleet::start().await;
    let id = fleet.submit().await;
    until("the job is under way", async || fleet.succeeded(&id).await >= 20).await;
    fleet.owner.process().signal("STOP");
    let result = fleet.result(&id).await;
    assert!(fleet.other.log().contains(OWNER));
    fleet.owner.process().signal("CONT");
    assert_ne!(fleet.owner.ended().await, 0, "{}", fleet.owner.log());
    assert!(fleet.owner.log().contains("another process owns the jobs now"), "{}", fleet.owner.log());
    assert_eq!(fleet.result(&id).await, result);
}

#[tokio::test]
async fn log_lines_and_usage_of_all_nodes_come_together_and_outlive_their_owner() {
    let mut fleet = Fleet::start().await;
    fleet.other.deploy("endless", hostile("endless-loop"), "[limits]\nfuel = 100000").await;
    let items: Vec<_> = (0..30).collect();
    let spec: JobSpec = serde_json::from_value(serde_json::json!(
        {"function": "endless", "input": {"items": items}, "allow-failed": 30}
    ))
    .unwrap();
    let id = fleet.other.client().submit(&spec, None).await.unwrap().id.to_string();
    let id = id.as_str();
    let client = fleet.other.client();
    until("the job has ended", async || client.job(id, None).await.is_ok_and(|job| job.state.is_terminal())).await;
    let filter = TaskQuery { limit: Some(1000), ..TaskQuery::default() };
    let tasks = client.tasks(id, &filter).await.unwrap().items;
    let nodes: BTreeSet<_> = tasks.iter().filter_map(|task| task.node.clone()).collect();
    assert!(nodes.len() > 1, "{nodes:?}");
    // Each task wrote one log line on its node.
    let lines = LogQuery { job: Some(id.parse().unwrap()), limit: Some(1000), ..LogQuery::default() };
    let seen = async || client.logs(&lines).await.map_or(0, |page| page.items.len());
    until("the lines of all nodes", async || seen().await == 30).await;
    let usage = client.usage(None, None).await.unwrap();
    assert_eq!(usage.total.failed, 30, "{usage:?}");
    fleet.owner.kill9().await;
    until("another owns the jobs", async || fleet.other.log().contains(OWNER)).await;
    until("it has the lines too", async || seen().await == 30).await;
    until("it counts the same", async || {
        client.usage(None, None).await.is_ok_and(|now| (&now.total, &now.functions) == (&usage.total, &usage.functions))
    })
    .await;
}
