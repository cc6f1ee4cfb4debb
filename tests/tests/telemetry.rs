//! What an operator sees: spans at an OTLP collector, metrics for Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use axum::{Router, body::Bytes, http::header, routing::post};
use fabric_tests::{Options, Server};
use std::time::Duration;
use tokio::{net::TcpListener, sync::mpsc};

/// A collector that answers at once, so that no export ever waits for the test; gives its address and what it gets.
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
    // Protobuf keeps texts as they are.
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
