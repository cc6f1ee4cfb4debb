//! Placement: node constraints, guarantees of tenants, and the reasons that are reported for waiting jobs.

use fabric_client::NodeModeRequest;
use fabric_tests::{Options, Server, hostile, until};
use fabric_types::{
    job::{JobSpec, JobState},
    rest::{job::Job, token::Role},
};
use serde_json::json;

/// Limits with which an endless loop runs until it is stopped.
const ENDLESS: &str = "[limits]\nfuel = 1000000000000000\ndeadline-ms = 600000";

fn spec(of: serde_json::Value) -> JobSpec {
    serde_json::from_value(of).unwrap()
}

fn pi(tasks: u64) -> serde_json::Value {
    let items: Vec<_> = (0..tasks).map(|seed| json!({"seed": seed, "samples": 1000})).collect();
    json!({"function": "montecarlo-pi", "input": {"items": items}, "cache": false})
}

async fn running(server: &Server, job: &Job, tenant: &str) {
    let client = server.client_in(tenant);
    until("its tasks run", async || client.job(job.id.as_str(), None).await.is_ok_and(|j| j.tasks.running > 0)).await;
}

#[tokio::test]
async fn a_noisy_tenant_leaves_another_its_guarantee() {
    let server = Server::start(Options::slots(2)).await;
    let shown = server.cli(&["tenants", "set", "calm", "--guarantee-slots", "1", "--limit-slots", "4"]).await.ok();
    assert!(shown.text().contains("calm"), "{}", shown.text());
    let (noisy, calm) = (server.client_in("noisy"), server.client_in("calm"));
    let deploy =
        |name: &str, module, more: &str| fabric_client::DeployRequest::new(fabric_tests::manifest(name, more), module);
    noisy.deploy(&deploy("looping", hostile("endless-loop"), ENDLESS)).await.unwrap();
    calm.deploy(&deploy("montecarlo-pi", fabric_tests::built("montecarlo-pi"), "")).await.unwrap();
    let noise = noisy
        .submit(&spec(json!({"function": "looping", "input": {"items": [1, 2, 3, 4, 5, 6]}})), None)
        .await
        .unwrap();
    running(&server, &noise, "noisy").await;

    let job = calm.submit(&spec(pi(5)), None).await.unwrap();
    let job = calm.wait_job(job.id.as_str()).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    // An attempt was preempted, and no task of the noisy tenant failed because of it.
    server.until_metric("fabric_attempts_preempted_total", |n| n >= 1.0).await;
    let noise = noisy.job(noise.id.as_str(), None).await.unwrap();
    assert_eq!((noise.state, noise.tasks.failed, noise.tasks.retries), (JobState::Running, 0, 0));

    // A limit applies immediately and survives a restart.
    server.cli(&["tenants", "set", "noisy", "--limit-slots", "1"]).await.ok();
    let second = noisy.submit(&spec(json!({"function": "looping", "input": {"items": [7]}})), None).await.unwrap();
    let waiting = noisy.job(second.id.as_str(), None).await.unwrap().waiting.unwrap();
    assert!(waiting.contains("of its limit of 1 slot"), "{waiting}");
    let mut server = server;
    server.restart().await;
    let kept = server.cli(&["tenants", "--json"]).await.ok().json();
    let limit = |name: &str| {
        let tenant = kept["items"].as_array().unwrap().iter().find(|t| t["tenant"] == name).unwrap().clone();
        tenant["quota"].clone()
    };
    assert_eq!(limit("noisy")["limit"]["cpu-slots"], 1);
    assert_eq!(limit("calm")["guarantee"]["cpu-slots"], 1);
}

#[tokio::test]
async fn quotas_are_the_admins_to_set() {
    let server = Server::start(Options::default()).await;
    let developer = server.client_with(&server.token("acme", Role::Developer).await);
    let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(developer.tenant_quota(&acme).await.unwrap().quota.weight, 1);
    let denied = |e: fabric_client::Error| e.problem().map(|p| p.code.to_string()).unwrap_or_default();
    assert_eq!(denied(developer.tenant_quota(&other).await.unwrap_err()), "denied");
    assert_eq!(denied(developer.set_tenant_quota(&acme, &Default::default()).await.unwrap_err()), "denied");
    assert_eq!(
        denied(developer.set_node_mode(&"local".parse().unwrap(), NodeModeRequest::Cordon).await.unwrap_err()),
        "denied"
    );
    let wrong = server.cli(&["tenants", "set", "acme", "--guarantee-slots", "5", "--limit-slots", "4"]).await.status(1);
    assert!(wrong.stderr.contains("the guarantee of cpu-slots is above the limit"), "{}", wrong.stderr);
    server.cli(&["nodes", "cordon", "nowhere"]).await.status(3);
}

#[tokio::test]
async fn a_job_that_waits_says_why_and_explain_agrees() {
    let args = ["--slots", "1", "--labels", "zone=a", "--memory", "2GiB", "--speed", "1.5", "--gpus", "1"];
    let server = Server::start(Options { args: args.map(str::to_owned).to_vec() }).await;
    let node = &server.cli(&["nodes", "--json"]).await.ok().json()["items"][0];
    assert_eq!((&node["labels"]["zone"], &node["speed"], &node["gpus"]), (&json!("a"), &json!(1.5), &json!(1)));
    assert_eq!(node["memory_bytes"], json!(2_u64 << 30));
    server.example("montecarlo-pi").await;
    server.deploy("large", fabric_tests::built("montecarlo-pi"), "[resources]\nmemory-bytes = \"64GiB\"").await;
    let client = server.client();
    let submit = async |of: serde_json::Value| client.submit(&spec(of), None).await.unwrap();

    let mut elsewhere = pi(1);
    elsewhere["node-selector"] = json!({"zone": "b"});
    let elsewhere = submit(elsewhere).await;
    let shown = server.cli(&["jobs", "show", elsewhere.id.as_str()]).await.ok();
    assert!(shown.text().contains("waiting   it needs label zone=b, and no node has that"), "{}", shown.text());
    let explained = server.cli(&["explain", "montecarlo-pi", "--node-selector", "zone=b"]).await.ok();
    assert!(explained.text().contains("refused by Labels"), "{}", explained.text());
    assert!(explained.text().contains("zone=b is required, and the node has zone=a"), "{}", explained.text());

    let mut large = pi(1);
    large["function"] = json!("large");
    let large = submit(large).await;
    assert_eq!(large.waiting.as_deref(), Some("an attempt needs 64 GiB, and the largest node has 2 GiB"));

    let explained = server.cli(&["explain", "montecarlo-pi"]).await.ok();
    for step in [
        "Ready",
        "Fits",
        "TenantQuota",
        "Labels",
        "ModuleKind",
        "NotExcluded",
        "LeastRequested",
        "BalancedResourceAllocation",
        "SelectorSpread",
        "Locality",
        "Speed",
        "the winner",
    ] {
        assert!(explained.text().contains(step), "{step}\n{}", explained.text());
    }
    let job = client.wait_job(submit(pi(3)).await.id.as_str()).await.unwrap();
    assert_eq!((job.state, job.waiting), (JobState::Succeeded, None));
}

#[tokio::test]
async fn a_cordoned_node_stays_so_until_it_is_let_go() {
    let mut server = Server::start(Options::slots(1)).await;
    server.example("montecarlo-pi").await;
    assert_eq!(server.cli(&["nodes", "cordon", "local"]).await.ok().text(), "local cordoned\n");
    let job = server.client().submit(&spec(pi(3)), None).await.unwrap();
    assert_eq!(job.waiting.as_deref(), Some("no node is ready: 1 cordoned"));
    server.restart().await;
    until("the node is back", async || server.cli(&["nodes"]).await.ok().text().contains("cordoned")).await;
    let job = server.client().job(job.id.as_str(), None).await.unwrap();
    assert_eq!(job.waiting.as_deref(), Some("no node is ready: 1 cordoned"));
    assert_eq!(server.cli(&["nodes", "drain", "local", "--wait"]).await.ok().text(), "local drained\n");
    assert_eq!(server.cli(&["nodes", "uncordon", "local"]).await.ok().text(), "local ready\n");
    let job = server.client().wait_job(job.id.as_str()).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_job_of_higher_priority_goes_first() {
    let server = Server::start(Options::slots(1)).await;
    server.example("montecarlo-pi").await;
    server.deploy("looping", hostile("endless-loop"), ENDLESS).await;
    // It holds the slot until the other jobs are queued.
    let looping = server.client().submit(&spec(json!({"function": "looping", "input": {"items": [1, 2]}})), None).await;
    let looping = looping.unwrap();
    running(&server, &looping, "default").await;
    let items: Vec<_> = (0..40).map(|seed| json!({"seed": seed, "samples": 2_000_000})).collect();
    let items = serde_json::to_string(&items).unwrap();
    let line = ["run", "montecarlo-pi", "--items", &items, "--no-cache", "--detach"];
    let low = server.cli(&line).await.ok().text().trim().to_owned();
    let high = server.cli(&[&line[..], &["--priority", "5"]].concat()).await.ok().text().trim().to_owned();
    server.cli(&["jobs", "cancel", looping.id.as_str()]).await.ok();
    let client = server.client();
    let high = client.wait_job(&high).await.unwrap();
    assert_eq!((high.state, high.spec.priority), (JobState::Succeeded, 5));
    let low = client.wait_job(&low).await.unwrap();
    assert!(low.started_ms >= high.started_ms && low.ended_ms > high.ended_ms, "{low:?}\n{high:?}");
}
