//! `kill -9` at random points: the job continues after the restart, its result is that of an undisturbed run, and no
//! task is committed twice.
//!
//! The points are drawn from a seed that the output names. `FABRIC_SEED` sets the seed, `FABRIC_ROUNDS` the number of
//! rounds.

use fabric_tests::{Ended, Options, Server, repository};
use fabric_types::{job::JobSpec, rest::job::Task};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A job to disturb, and the function that it needs.
struct Work {
    function: &'static str,
    spec: JobSpec,
}

/// Returns a job of three thousand small tasks and a tree of reduces.
fn many_small() -> Work {
    let items: Vec<_> = (0..3000).map(|seed| serde_json::json!({"seed": seed, "samples": 3000})).collect();
    let spec =
        serde_json::json!({"function": "montecarlo-pi", "input": {"items": items}, "reduce": {}, "cache": false});
    Work { function: "montecarlo-pi", spec: serde_json::from_value(spec).unwrap() }
}

/// Returns the main job in many partitions.
fn partitioned() -> Work {
    let spec = serde_json::json!({
        "function": "weather", "input": {"objects": {"path": "weather.csv", "split": "csv:8KiB"}},
        "reduce": {"fan-in": 4}, "cache": false, "params": {"blocks": true},
    });
    Work { function: "weather", spec: serde_json::from_value(spec).unwrap() }
}

/// Returns a word count through a shuffle, whose intermediate results are in buckets.
fn shuffled() -> Work {
    let spec = serde_json::json!({
        "function": "wordcount", "input": {"objects": {"path": "weather.csv", "split": "lines:16KiB"}},
        "shuffle": {"partitions": 8}, "cache": false, "params": {"emit": true},
    });
    Work { function: "wordcount", spec: serde_json::from_value(spec).unwrap() }
}

async fn furnished(work: &Work) -> Server {
    let server = Server::start(Options::default()).await;
    server.example(work.function).await;
    let data = std::fs::read(repository().join("examples/data/nyc-weather-2013.csv")).unwrap();
    server.put("weather.csv", data).await;
    server
}

async fn ended(server: &Server, id: &str) -> Ended {
    let client = server.client();
    client.wait_job(id).await.unwrap();
    Ended::read(client, id).await.unwrap()
}

/// Checks a disturbed job. With one process no report is lost, so each task is also billed exactly once.
fn check(ended: &Ended, undisturbed: &Ended) {
    ended.check(undisturbed).unwrap();
    assert!(ended.tasks.iter().all(|task| task.error.is_none()), "an attempt failed");
    let paid = ended.tasks.iter().map(|task| task.fuel).sum::<u64>();
    assert_eq!(ended.job.cost.fuel, paid, "the fuel of the job differs from that of its tasks");
}

/// Checks the server's own database: one result for each key.
fn check_results(server: &Server, tasks: &[Task]) {
    let database = server.folder().join("data/state.db");
    let database = rusqlite::Connection::open(database).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let twice = count("SELECT count(*) FROM (SELECT 1 FROM results GROUP BY tenant, key HAVING count(*) > 1)");
    assert_eq!(twice, 0, "results were committed twice");
    let keys: BTreeSet<_> = tasks.iter().map(|task| task.key.unwrap().to_string()).collect();
    assert_eq!(count("SELECT count(*) FROM results"), keys.len() as i64);
}

async fn survives(work: Work, stream: u64) {
    let (seed, rounds) = (setting("FABRIC_SEED", 2013), setting("FABRIC_ROUNDS", 2));
    let undisturbed = {
        let server = furnished(&work).await;
        let id = server.client().submit(&work.spec, None).await.unwrap().id;
        ended(&server, id.as_str()).await
    };
    let total = undisturbed.job.tasks.total;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let mut in_the_middle = 0;
    for round in 0..rounds {
        let mut server = furnished(&work).await;
        let id = server.client().submit(&work.spec, None).await.unwrap().id.to_string();
        // One to three kills, each later in the job than the one before. The first may come before any task has ended.
        let mut points: Vec<u64> =
            (0..random.random_range(1..=3)).map(|_| random.random_range(0..total * 9 / 10)).collect();
        points.sort_unstable();
        eprintln!("seed {seed}, round {round}: killed after {points:?} of {total} tasks");
        // Tasks that ran when the process died run first after the restart, and a task that was running at two deaths
        // is given up (ADR 10). Other tasks therefore end between two kills.
        let mut least = 0;
        for point in points {
            let point = point.max(least);
            let client = server.client().clone();
            fabric_tests::until("the job gets that far", async || {
                let job = client.job(&id, None).await.unwrap();
                job.tasks.succeeded >= point || job.state.is_terminal()
            })
            .await;
            let job = client.job(&id, None).await.unwrap();
            in_the_middle += u64::from(!job.state.is_terminal());
            server.kill9().await;
            server.restart().await;
            // The journal lags behind the commits, so the count may have decreased. Committed results remain.
            let after = server.client().job(&id, None).await.unwrap();
            assert_eq!(after.tasks.total, total);
            least = after.tasks.succeeded + total / 10;
        }
        let disturbed = ended(&server, &id).await;
        check(&disturbed, &undisturbed);
        check_results(&server, &disturbed.tasks);
        // The job is listed once, and the server stops in order.
        assert_eq!(
            server.client().jobs(&Default::default()).await.unwrap().items.len(),
            1,
            "the job is not listed once"
        );
        assert_eq!(server.stop().await, 0);
    }
    assert!(in_the_middle > 0, "no kill came while the job ran: the job is too short for this machine");
}

#[tokio::test]
async fn many_small_tasks_survive() {
    survives(many_small(), 1).await;
}

#[tokio::test]
async fn the_main_job_survives() {
    survives(partitioned(), 2).await;
}

#[tokio::test]
async fn a_shuffle_survives() {
    survives(shuffled(), 3).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let mut server = Server::start(Options::default()).await;
    server.example("noop").await;
    let secret = server.token("acme", fabric_types::rest::token::Role::Developer).await;
    server.put("kept/a", "the bytes").await;
    let done = server.client().invoke_async("noop", fabric_client::InvokeRequest::new("echo")).await.unwrap().id;
    let client = server.client();
    client.invocation(done.as_str(), Some(std::time::Duration::from_secs(60))).await.unwrap();
    let alias =
        fabric_api::function::SetAlias { targets: vec![fabric_types::function::AliasTarget { version: 1, weight: 1 }] };
    client.set_alias("noop", "canary", &alias).await.unwrap();
    server.kill9().await;
    server.restart().await;
    let client = server.client();
    assert_eq!(client.get("kept/a", &Default::default()).await.unwrap().bytes(MIB).await.unwrap(), "the bytes");
    assert_eq!(client.invocation_result(done.as_str()).await.unwrap().bytes(MIB).await.unwrap(), "echo");
    assert!(client.aliases("noop").await.unwrap().items.iter().any(|a| a.name.as_str() == "canary"));
    assert_eq!(server.client_with(&secret).whoami().await.unwrap().tenant.as_str(), "acme");
    // The module was compiled before the kill. A call after the restart uses the stored artefact.
    let answer = client.invoke("noop", fabric_client::InvokeRequest::new("again")).await.unwrap();
    assert_eq!(answer.body.bytes(MIB).await.unwrap(), "again");
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_does_so_in_the_middle_of_a_job() {
    let work = many_small();
    let server = furnished(&work).await;
    let id = server.client().submit(&work.spec, None).await.unwrap().id;
    let client = server.client().clone();
    fabric_tests::until("the job runs", async || client.job(id.as_str(), None).await.unwrap().tasks.succeeded > 0)
        .await;
    assert_eq!(server.stop().await, 0);
}
