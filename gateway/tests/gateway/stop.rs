//! The end of a server: running requests may end, the rest is cut off after the grace period, nothing keeps running.

use crate::support::{Server, send};
use fabric_gateway::Options;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stays_open_is_cut_off_after_the_grace() {
    let options = Options { grace: Duration::from_millis(1), ..Options::default() };
    let mut server = Server::with(options, |_| {}).await;
    let head = format!(
        "PUT /v1/objects/slow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n",
        server.admin
    );
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    // The server has begun to read the body.
    slow.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100");
    server.stop().await;
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
    assert!(!String::from_utf8_lossy(&rest).contains("201"), "half an object was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_stops_and_its_event_streams_end() {
    let mut server = Server::start().await;
    let stream = server.ask("GET", "/v1/logs?follow=true").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    send(server.bare("GET", "/readyz")).await.is(200);
    let (rest, ()) = futures::join!(stream.text(), server.stop());
    assert!(rest.is_ok(), "ended in order, not cut off: {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_is_not_ready_for_more_and_serves_what_comes() {
    let server = Server::start().await;
    send(server.bare("GET", "/readyz")).await.is(200);
    server.services.node.drain(Duration::from_secs(60)).await;
    let problem = send(server.bare("GET", "/readyz")).await.problem("unavailable");
    assert!(problem.detail.contains("leaving"), "{}", problem.detail);
    send(server.bare("GET", "/healthz")).await.is(200);
    server.get("/v1/functions").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_says_so_first_and_answers_everything() {
    let server = Server::start().await;
    let keeps = server.get("/v1/functions").await.is(200);
    assert!(!keeps.headers.contains_key("connection"));
    server.leave();
    let problem = send(server.bare("GET", "/readyz")).await.problem("unavailable");
    assert!(problem.detail.contains("leaving"), "{}", problem.detail);
    let all = send(server.bare("GET", "/readyz?verbose")).await.is(503).text();
    assert!(all.contains("process: failed: the process is leaving") && all.ends_with("\nnot ready\n"), "{all}");
    // The connection ends with the answer, so that the proxy can route the next request elsewhere.
    let last = server.get("/v1/functions").await.is(200);
    assert_eq!(last.headers["connection"], "close");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_lane_was_taken_is_not_ready() {
    let server = Server::start().await;
    let _thief = server.services.backend.lanes.open(&"local".parse().unwrap()).await.unwrap();
    server.services.node.lane_closed().await;
    let problem = send(server.bare("GET", "/readyz")).await.problem("unavailable");
    assert!(problem.detail.contains("the node receives no work: its lane is closed"), "{}", problem.detail);
    assert!(!server.services.node.is_ready());
}
