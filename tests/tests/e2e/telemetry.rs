//! Telemetry: spans at an OTLP collector and metrics for Prometheus.

use axum::{Router, body::Bytes, http::header, routing::post};
use fabric_tests::{Options, Server, until};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc};

/// Starts a collector that responds immediately, so that no export waits for the test. Returns its address and the
/// channel of received exports.
async fn collector() -> (String, mpsc::UnboundedReceiver<Bytes>) {
    let (exports, got) = mpsc::unbounded_channel();
    let take = move |body: Bytes| {
        let _ = exports.send(body);
        async { ([(header::CONTENT_TYPE, "application/x-protobuf")], "") }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await.unwrap() });
    (address, got)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test]
async fn spans_of_a_request_an_invocation_and_an_attempt_reach_the_collector() {
    let (endpoint, mut exports) = collector().await;
    let server = Server::start(Options { args: vec!["--otlp-endpoint".to_owned(), endpoint] }).await;
    server.example("noop").await;
    server.cli(&["invoke", "noop", "--data", "x"]).await.ok();
    server.cli(&["run", "noop", "--items", "[1,2,3]"]).await.ok();
    // Protobuf encodes strings as plain bytes.
    let mut missing = vec!["attempt", "invocation", "job_id", "module_digest", "node_id", "request_id"];
    let mut all = Vec::new();
    let seen = async {
        while !missing.is_empty() {
            all.extend_from_slice(&exports.recv().await.unwrap());
            missing.retain(|wanted| !holds(&all, wanted));
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), seen).await;
    assert!(waited.is_ok(), "the collector has {} bytes and never saw {missing:?}", all.len());
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    server.cli(&["run", "noop", "--items", "[1,2,3]"]).await.ok();
    server.cli(&["run", "noop", "--items", "[1,2,3]"]).await.ok();
    for (name, expected) in [
        ("fabric_jobs_accepted_total", 2.0),
        ("fabric_jobs_active", 0.0),
        ("fabric_tasks_succeeded_total", 6.0),
        ("fabric_tasks_cached_total", 3.0),
        ("fabric_invocations_total", 3.0),
        ("fabric_call_seconds_count", 3.0),
        ("fabric_instantiate_seconds_count", 3.0),
        ("fabric_node_queued_tasks", 0.0),
        ("fabric_node_running_guests", 0.0),
    ] {
        assert_eq!(server.metric(name).await, Some(expected), "{name}");
    }
    assert!(server.metric("fabric_guest_fuel_total").await.unwrap() > 0.0);
}

/// Returns the command of `promtool`, which checks metrics and rules.
fn promtool() -> std::process::Command {
    let named = std::env::var_os("FABRIC_TEST_PROMTOOL").filter(|named| !named.is_empty());
    std::process::Command::new(named.unwrap_or_else(|| "promtool".into()))
}

#[tokio::test]
async fn promtool_finds_nothing_in_the_metrics_and_the_alerts() {
    use std::{io::Write as _, process::Stdio};
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    server.cli(&["run", "noop", "--items", "[1,2,3]"]).await.ok();
    let text = server.client().metrics().await.unwrap().bytes(16 << 20).await.unwrap();
    let check = |text: &[u8]| {
        let mut judge = promtool()
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is needed: run `cargo xtask test`, or get Prometheus and set FABRIC_TEST_PROMTOOL to its promtool");
        judge.stdin.take().unwrap().write_all(text).unwrap();
        let judged = judge.wait_with_output().unwrap();
        let said = [judged.stdout, judged.stderr].concat();
        (judged.status.success(), String::from_utf8(said).unwrap())
    };
    assert_eq!(check(&text), (true, String::new()), "{}", String::from_utf8_lossy(&text));
    let (clean, said) = check(b"# TYPE fabric_things counter\nfabric_things 1\n");
    assert!(!clean && said.contains("_total"), "promtool accepted a wrong name: {said}");

    let alerts = fabric_tests::repository().join("deploy/prometheus/alerts.yaml");
    let rules = promtool().args(["check", "rules"]).arg(alerts).output().unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
}

/// Starts a server with its log in a file that exports spans to `collector`.
async fn with_collector(collector: &TcpListener, log: &std::path::Path) -> Server {
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let args = ["--otlp-endpoint", &endpoint, "--log-file", log.to_str().unwrap()].map(ToOwned::to_owned).to_vec();
    Server::start(Options { args }).await
}

#[tokio::test]
async fn a_dead_collector_is_said_once() {
    let (collector, folder) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), tempfile::tempdir().unwrap());
    let log = folder.path().join("server.log");
    let server = with_collector(&collector, &log).await;
    // The collector closes every connection without a response, so batches are retried.
    let brought = Arc::new(AtomicU64::new(0));
    let counter = brought.clone();
    tokio::spawn(async move {
        while let Ok(connection) = collector.accept().await {
            drop(connection);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let read = || std::fs::read_to_string(&log).unwrap();
    server.client().whoami().await.unwrap();
    until("the failure is logged", async || read().contains("the collector accepts no spans")).await;
    let before = brought.load(Ordering::Relaxed);
    server.client().whoami().await.unwrap();
    until("another batch is sent", async || brought.load(Ordering::Relaxed) > before).await;
    server.stop().await;
    let log = read();
    assert_eq!(log.matches("the collector accepts no spans").count(), 1, "{log}");
    assert!(!log.contains("BatchSpanProcessor"), "{log}");
}

#[tokio::test]
async fn a_frozen_collector_holds_no_shutdown_up() {
    // The kernel accepts the connections, and no process responds.
    let (collector, folder) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), tempfile::tempdir().unwrap());
    let server = with_collector(&collector, &folder.path().join("server.log")).await;
    server.client().whoami().await.unwrap();
    let begun = std::time::Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the server ended after {:?}", begun.elapsed());
}
