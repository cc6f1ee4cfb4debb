//! The names of processes in a fleet: one process at a time has a name.

use fabric_tests::{Ran, SmallFleet, until};
use fabric_types::job::{JobSpec, JobState};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// The log line of a process that waits for the lease on its name.
const WAITS: &str = "waiting for its lease to expire";

/// Starts a process under a name, with its own data folder, and waits until it exits.
async fn newcomer(fleet: &SmallFleet, name: &str) -> Ran {
    let data = fleet.servers[0].folder().join("another");
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let more = fleet.arguments(&["--name", name]);
    args.extend(more.iter().map(String::as_str));
    fleet.servers[0].cli(&args).await
}

fn spec(tasks: u64) -> JobSpec {
    let items: Vec<_> = (0..tasks).map(|seed| json!({"seed": seed, "samples": 2_000_000})).collect();
    let spec = json!({"function": "montecarlo-pi", "input": {"items": items}, "reduce": {}, "cache": false});
    serde_json::from_value(spec).unwrap()
}

/// Returns the path of the lease object of a name.
fn lease_of(fleet: &SmallFleet, name: &str) -> PathBuf {
    fleet.store().join(format!("state.d/fabric.d/leases.d/names.d/={name}"))
}

/// Overwrites the lease on a name, as a process on another machine would.
fn take_elsewhere(fleet: &SmallFleet, name: &str, nonce: u32) {
    let lease = json!({"holder": "elsewhere", "epoch": 100, "ttl_ms": 4000, "released": false, "nonce": nonce});
    let (path, beside) = (lease_of(fleet, name), fleet.store().join("lease.new"));
    assert!(path.exists(), "{}", path.display());
    std::fs::write(&beside, serde_json::to_vec(&lease).unwrap()).unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn a_second_process_of_one_name_is_refused_and_no_job_suffers() {
    let fleet = SmallFleet::start(1, &["--name", "alpha"]).await;
    let server = &fleet.servers[0];
    server.example("montecarlo-pi").await;
    let client = server.client();
    let job = client.submit(&spec(60), None).await.unwrap();
    until("the job is under way", async || client.job(job.id.as_str(), None).await.unwrap().tasks.succeeded >= 3).await;

    for _ in 0..3 {
        let refused = newcomer(&fleet, "alpha").await.status(1);
        let holder = format!(
            "error[conflict]: another process of the fleet has the name alpha: {}, process {} on ",
            server.url(),
            server.process().0
        );
        assert!(refused.stderr.contains(&holder), "{}", refused.stderr);
        assert!(refused.stderr.contains("give this process a name of its own with --name"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(WAITS), "{}", refused.stderr);
    }

    let job = client.wait_job(job.id.as_str()).await.unwrap();
    assert_eq!((job.state, job.tasks.failed, job.tasks.retries), (JobState::Succeeded, 0, 0), "{:?}", job.error);
    assert_eq!(server.metric("fabric_process_deaths_total").await, Some(0.0));
    assert_eq!(fleet.states(0).await, [("alpha".to_owned(), "ready".to_owned())]);
}

#[tokio::test]
async fn a_killed_process_has_its_name_back_at_once_with_and_without_its_folder() {
    let mut fleet = SmallFleet::start(1, &["--name", "alpha"]).await;
    for folder_is_lost in [false, true] {
        let server = &mut fleet.servers[0];
        server.kill9().await;
        if folder_is_lost {
            std::fs::remove_dir_all(server.folder().join("data")).unwrap();
        }
        server.restart().await;
        assert!(!server.log().contains(WAITS), "{}", server.log());
    }
    // A process that shuts down in order releases its name.
    fleet.servers[0].restart_gently().await;
    fleet.complete(1).await;
}

#[tokio::test]
async fn a_process_that_lost_its_name_ends_and_a_newcomer_waits_for_a_holder_that_may_live() {
    let mut fleet = SmallFleet::start(1, &["--name", "alpha"]).await;
    take_elsewhere(&fleet, "alpha", 1);
    let server = &mut fleet.servers[0];
    assert_eq!(server.ended().await, 1, "{}", server.log());
    let log = server.log();
    assert!(log.contains("error[conflict]: another process of the fleet has the name alpha now: elsewhere"), "{log}");

    // The holder counts as alive while it renews its lease.
    let waiting = newcomer(&fleet, "alpha");
    let renewing = async {
        for nonce in 2.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            take_elsewhere(&fleet, "alpha", nonce);
        }
    };
    let refused = tokio::select! {
        refused = waiting => refused.status(1),
        () = renewing => unreachable!(),
    };
    assert!(refused.stderr.contains(WAITS), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("another process of the fleet has the name alpha: elsewhere"),
        "{}",
        refused.stderr
    );

    // The holder has died, and its lease expires.
    let server = &mut fleet.servers[0];
    server.restart().await;
    assert!(server.log().contains(WAITS), "{}", server.log());
    fleet.complete(1).await;
}
