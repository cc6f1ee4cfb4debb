//! Tasks that kill their process. Deaths are counted across restarts of scheduler and node, the task ends as a dead
//! letter, and other tasks and the server continue.

use bytes::Bytes;
use fabric_client::{Client, DeployRequest, InvokeRequest, JobQuery, PageOptions};
use fabric_tests::{Cluster, Nats, Options, Server, manifest, until};
use fabric_types::{
    Code,
    job::{JobSpec, JobState},
    rest::{job::Job, token::Role},
};
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// A command that logs its input, which can kill the process in a debug build, and returns it. Input that begins with
/// `s` takes longer.
const ECHO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $left i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (if (i32.eq (i32.load8_u (i32.const 1025)) (i32.const 115))
      (then
        (local.set $left (i32.const 100000000))
        (loop $again
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left)))))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 12)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

const ABORT: &str = "fabric-test-hook: abort";
const PANIC: &str = "fabric-test-hook: panic";

fn echo() -> Bytes {
    wat::parse_str(ECHO).unwrap().into()
}

fn spec(items: &[&str], more: serde_json::Value) -> JobSpec {
    let mut spec = json!({"function": "echo", "input": {"items": items}, "cache": false});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

/// Deploys [`ECHO`] in the client's tenant.
async fn deploy(client: &Client) {
    let fuel = "[limits]\nfuel = 10000000000\ndeadline-ms = 60000";
    client.deploy(&DeployRequest::new(manifest("echo", fuel), echo())).await.unwrap();
}

async fn submit(client: &Client, spec: &JobSpec) -> String {
    client.submit(spec, None).await.unwrap().id.to_string()
}

/// Checks that the job failed because of one task, which is a dead letter with the reason.
async fn check_quarantined(client: &Client, job: &Job) {
    let error = job.error.as_ref().unwrap();
    assert_eq!((job.state, error.code), (JobState::Failed, Code::ProcessKilled), "{error:?}");
    let letters = client.dead_letters(Some(&job.id), &PageOptions::default()).await.unwrap().items;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((letter.error.code, letter.stage, letter.index), (Code::ProcessKilled, 0, 1), "{letter:?}");
    assert!(letter.error.message.contains("processes died") && letter.error.hint.is_some(), "{letter:?}");
    assert!(!letter.nodes.is_empty() && letter.input.contains(ABORT), "{letter:?}");
}

/// Restarts a server that has died. Returns the number of deaths, including those before it became ready.
async fn revive(server: &mut Server) -> u32 {
    let mut deaths = 1;
    while !server.try_restart().await {
        deaths += 1;
        assert!(deaths < 15, "the server keeps dying");
    }
    deaths
}

/// Restarts the server after each death until the job has ended. Returns the job and the number of deaths.
async fn run(server: &mut Server, id: &str) -> (Job, u32) {
    let mut deaths = 0;
    loop {
        if server.has_ended() {
            deaths += revive(server).await;
            assert!(deaths < 15, "the server keeps dying");
        }
        match server.client().job(id, None).await {
            Ok(job) if job.state.is_terminal() => return (job, deaths),
            // The server may be about to die.
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

/// Submits a job that may kill the process before the response. Returns its id and the number of deaths until the id
/// was known.
async fn submit_killer(server: &mut Server, spec: &JobSpec) -> (String, u32) {
    if let Ok(job) = server.client().submit(spec, None).await {
        return (job.id.to_string(), 0);
    }
    let mut deaths = 0;
    loop {
        if server.has_ended() {
            deaths += revive(server).await;
            assert!(deaths < 15, "the server keeps dying");
        }
        match server.client().jobs(&JobQuery::default()).await {
            // A job that ran had been accepted.
            Ok(jobs) if deaths > 0 => return (jobs.items.first().unwrap().id.to_string(), deaths),
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn a_task_that_kills_the_one_process_ends_after_two_deaths_and_the_server_starts() {
    let mut server = Server::start(Options::slots(2)).await;
    deploy(server.client()).await;
    let other = server.token("other", Role::Developer).await;
    deploy(&server.client_with(&other)).await;
    let beside = submit(&server.client_with(&other), &spec(&["slow", "sl", "s", "quick", "q"], json!({}))).await;
    let killer = spec(&["slow", ABORT, "also"], json!({}));
    let (killer, early) = submit_killer(&mut server, &killer).await;
    let (job, deaths) = run(&mut server, &killer).await;
    assert_eq!(deaths + early, 2);
    check_quarantined(server.client(), &job).await;
    let beside = server.client_with(&other).wait_job(&beside).await.unwrap();
    assert_eq!((beside.state, beside.tasks.dead), (JobState::Succeeded, 0), "{:?}", beside.error);
    assert_eq!(server.metric("fabric_tasks_quarantined_total").await, Some(1.0));

    // A job with `allow-failed` succeeds without its poison tasks.
    let allowed = spec(&["a", ABORT, "slow", ABORT, "b"], json!({"allow-failed": 2}));
    let (id, _) = submit_killer(&mut server, &allowed).await;
    let (job, _) = run(&mut server, &id).await;
    assert_eq!((job.state, job.tasks.dead, job.tasks.succeeded), (JobState::Succeeded, 2, 3), "{:?}", job.error);
    // Every death affects all tenants, so the number of deaths per job is bounded.
    let many = spec(&[ABORT; 20], json!({"allow-failed": 20}));
    let (id, early) = submit_killer(&mut server, &many).await;
    let (job, deaths) = run(&mut server, &id).await;
    let deaths = deaths + early;
    assert_eq!((job.state, job.error.unwrap().code), (JobState::Failed, Code::ProcessKilled));
    assert!((5..=11).contains(&deaths), "{deaths} deaths");
    // After an orderly shutdown, no running task is suspected.
    let id = submit(server.client(), &spec(&["slow"; 100], json!({}))).await;
    let before = server.log().matches("was running when the process died").count();
    for _ in 0..3 {
        let runs = |job: Job| job.tasks.running > 0 || job.state.is_terminal();
        until("the job runs", async || server.client().job(&id, None).await.is_ok_and(runs)).await;
        server.restart_gently().await;
    }
    let (job, _) = run(&mut server, &id).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    assert_eq!(server.log().matches("was running when the process died").count(), before);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_module_whose_calls_kill_the_process_is_refused_for_a_while_and_a_panic_kills_nothing() {
    let mut server = Server::start(Options::slots(1)).await;
    deploy(server.client()).await;
    let other = Bytes::from(wat::parse_str(ECHO.replace("4096", "4095")).unwrap());
    server.deploy("other", other, "").await;
    for _ in 0..3 {
        assert!(server.client().invoke("echo", InvokeRequest::new(ABORT)).await.is_err());
        assert_eq!(server.ended().await, -1);
        server.restart().await;
    }
    let refused = server.client().invoke("echo", InvokeRequest::new(ABORT)).await.unwrap_err();
    assert_eq!(refused.problem().map(|problem| problem.code), Some(Code::ProcessKilled), "{refused:?}");
    let answer = server.client().invoke("other", InvokeRequest::new("hello")).await.unwrap();
    assert_eq!(answer.body.bytes(100).await.unwrap(), "hello");

    // The only thread that runs tasks survives a panic.
    let id = submit(server.client(), &spec(&["a", PANIC], json!({"function": "other"}))).await;
    let job = server.client().wait_job(&id).await.unwrap();
    assert_eq!((job.state, job.error.unwrap().code), (JobState::Failed, Code::Internal));
    let id = submit(server.client(), &spec(&["a", "b"], json!({"function": "other"}))).await;
    assert_eq!(server.client().wait_job(&id).await.unwrap().state, JobState::Succeeded);
    assert!(!server.has_ended());
}

#[tokio::test]
async fn a_task_that_kills_nodes_ends_though_none_of_them_comes_back() {
    let (nats, shared) = (Nats::start(), tempfile::tempdir().unwrap());
    let store = format!("file://{}", shared.path().display());
    let joined = ["--nats", nats.url(), "--store", &store, "--slots", "2"].map(ToOwned::to_owned);
    let args = [&["--role".to_owned(), "gateway,scheduler".to_owned()], &joined[..]].concat();
    let server = Server::start(Options { args }).await;
    let node = |name: &str| {
        let data = server.folder().join(name);
        let mut line = vec!["serve", "--role", "node", "--name", name, "--data", data.to_str().unwrap()];
        line.extend(joined.iter().map(String::as_str));
        server.cli_command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut nodes = [node("n-1"), node("n-2"), node("n-3")];
    let client = server.client();
    until("three nodes", async || client.nodes(&PageOptions::default()).await.is_ok_and(|n| n.items.len() == 3)).await;
    deploy(client).await;
    let other = server.client_with(&server.token("other", Role::Developer).await);
    deploy(&other).await;
    let killer = submit(client, &spec(&["slow", ABORT, "b", "c"], json!({}))).await;
    let beside = submit(&other, &spec(&["slow"; 12], json!({}))).await;
    let job = client.wait_job(&killer).await.unwrap();
    check_quarantined(client, &job).await;
    let beside = other.wait_job(&beside).await.unwrap();
    assert_eq!((beside.state, beside.tasks.dead), (JobState::Succeeded, 0), "{:?}", beside.error);
    let alive = nodes.iter_mut().filter_map(|node| node.try_wait().unwrap().is_none().then_some(())).count();
    assert_eq!(alive, 1, "one task killed more than two nodes");
}

#[tokio::test]
async fn a_task_that_kills_every_process_of_a_fleet_that_is_started_again_ends() {
    let mut cluster = Cluster::start(&["--nodes", "3"]);
    cluster.up();
    let write = |name: &str, bytes: &[u8]| std::fs::write(cluster.data().join(name), bytes).unwrap();
    write("fabric.toml", manifest("echo", "[limits]\nfuel = 10000000000").as_bytes());
    write("echo.wasm", &echo());
    let module = cluster.data().join("echo.wasm").display().to_string();
    cluster.cli(&["deploy", &module]).await.ok();
    cluster.cli(&["deploy", &module, "--tenant", "other"]).await.ok();
    let detached = async |items: &str, tenant: &str| {
        let run = ["run", "echo", "--items", items, "--no-cache", "--detach", "--tenant", tenant];
        let list = ["jobs", "list", "--json", "--limit", "1", "--tenant", tenant];
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let ran = cluster.cli(&run).await;
            if ran.status == 0 {
                return ran.text().trim().to_owned();
            }
            assert!(Instant::now() < end, "{ran:?}");
            // The process died before the response was sent, or before it had the request. In the first case the job
            // was accepted.
            let listed = cluster.cli(&list).await;
            if listed.status == 0
                && let Some(id) = listed.json()["items"][0]["id"].as_str()
            {
                return id.to_owned();
            }
        }
    };
    let items = json!(["slow", ABORT, "b", "c"]).to_string();
    let killer = detached(&items, "default").await;
    let beside = detached(&json!(vec!["slow"; 9]).to_string(), "other").await;
    let ended = async |id: &str, tenant: &str| {
        let shown = cluster.cli(&["jobs", "show", id, "--json", "--tenant", tenant]).await;
        let over =
            |job: &serde_json::Value| ["succeeded", "failed", "cancelled"].iter().any(|state| job["state"] == *state);
        (shown.status == 0).then(|| shown.json()).filter(over)
    };
    until("the jobs have ended", async || {
        ended(&killer, "default").await.is_some() && ended(&beside, "other").await.is_some()
    })
    .await;
    let (killer, beside) = (ended(&killer, "default").await.unwrap(), ended(&beside, "other").await.unwrap());
    assert_eq!((&killer["state"], &killer["error"]["code"]), (&json!("failed"), &json!("process-killed")), "{killer}");
    assert_eq!(beside["state"], "succeeded", "{beside}");
    let deaths = cluster.log().matches("(pid").count();
    assert!(deaths >= 2, "{}", cluster.log());
    cluster.cli(&["cluster", "down"]).await.ok();
}
