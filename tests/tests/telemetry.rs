//! What an operator sees: spans at an OTLP collector, metrics for Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fabric_tests::{Options, Server};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Takes one request of an OTLP exporter and gives its body; protobuf keeps texts as they are.
async fn export(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
        .await
        .ok()?;
    Some(body)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test]
async fn spans_of_a_request_an_invocation_and_an_attempt_reach_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::start(Options { args: vec!["--otlp-endpoint".to_owned(), endpoint] }).await;
    server.example("noop").await;
    server.cli(&["invoke", "noop", "--data", "x"]).await.ok();
    let job = server.cli(&["run", "noop", "--items", "[1,2,3]", "--json"]).await.ok();
    let wanted = ["attempt", "invocation", "job_id", "module_digest", "node_id"];
    let seen = async {
        let mut all = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(body) = export(&mut stream).await {
                all.extend_from_slice(&body);
                if wanted.iter().all(|w| holds(&all, w)) {
                    return;
                }
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), seen).await;
    assert!(waited.is_ok(), "the collector never saw all of {wanted:?}; the job was {}", job.text());
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
