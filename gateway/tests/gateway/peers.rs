//! Processes of a fleet: requests about jobs go to their owner, and calls go to nodes with room.

use crate::support::{CAT, Server, guest, send, wat};
use fabric_backend::Backend;
use fabric_gateway::{
    Gateway, Handle, Options, Peers, Services,
    peers::{self, OWNER_WAIT},
};
use fabric_index::RecordSink;
use fabric_node::{NodeHandle, NodeMetrics};
use fabric_types::id::NodeId;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// A process that owns no jobs and runs no guests, in the same fabric as a server.
struct RelayProcess {
    url: String,
    tell: watch::Sender<Option<String>>,
    _handle: Handle,
}

impl RelayProcess {
    async fn open(server: &Server, relays: bool, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, owner) = watch::channel(Some(format!("http://{}", server.addr)));
        let services = server.services.clone();
        let name = NodeId::new("relay").unwrap();
        let node = NodeHandle::start(fabric_node::Options {
            id: name.clone(),
            epoch: 0,
            slots: 0,
            url: None,
            offer: fabric_node::Offer::default(),
            backend: services.backend.clone(),
            store: services.store.clone(),
            results: services.results.clone(),
            notes: RecordSink::Index(services.index.clone()),
            host: server.host.clone(),
            folder: None,
            policy: fabric_types::policy::Policy::default(),
            metrics: NodeMetrics::default(),
            storage: crate::support::storage(&services.data_dir, &services.index, &services.store),
        });
        let node = node.await.unwrap();
        let peers = Peers::new(peers::Options { name, owner, relays, patience, ca: None }).unwrap();
        let metrics = Arc::default();
        let services = Services { driver: None, peers: Some(Arc::new(peers)), node, metrics, ..services };
        let handle = Gateway::new(services).serve(Options::default(), listener).unwrap();
        Self { url, tell, _handle: handle }
    }

    fn ask(&self, server: &Server, method: &str, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
            .bearer_auth(&server.admin)
    }
}

/// Announces the address of a server's node, as its own presence would.
async fn announce(backend: &Backend, url: &str) {
    let mut node = backend.presence.list().await.unwrap().remove(0);
    node.id = NodeId::new("elsewhere").unwrap();
    node.url = Some(url.to_owned());
    backend.presence.announce(node, Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_jobs_goes_to_their_owner_and_refusals_come_back() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let relay = RelayProcess::open(&server, true, OWNER_WAIT).await;
    let listed = send(relay.ask(&server, "GET", "/v1/functions")).await.is(200).json();
    assert_eq!(listed["items"][0]["name"], "f");
    let later = send(relay.ask(&server, "POST", "/v1/functions/f/invoke?mode=async").body("x")).await.is(202);
    let at = later.header("location").unwrap();
    send(relay.ask(&server, "GET", &format!("{at}?wait=30"))).await.is(200);
    assert_eq!(send(relay.ask(&server, "GET", &format!("{at}/result"))).await.is(200).text(), "x");
    let refused = send(reqwest::Client::new().get(format!("{}/v1/jobs", relay.url))).await.is(401);
    refused.problem("unauthenticated");
    // It reports its own health and metrics.
    assert_eq!(send(relay.ask(&server, "GET", "/healthz")).await.is(200).text(), "ok\n");
    let metrics = send(relay.ask(&server, "GET", "/metrics")).await.is(200).text();
    let counted = |metrics: &str, labels: &str| metrics.contains(&format!("fabric_http_requests_total{{{labels}}}"));
    let listed = |origin: &str| format!(r#"method="GET",route="/v1/functions",status="200",origin="{origin}""#);
    assert!(counted(&metrics, &listed("client")), "what is passed on is counted under its route: {metrics}");
    let there = server.get("/metrics").await.is(200).text();
    assert!(counted(&there, &listed("peer")) && !counted(&there, &listed("client")), "{there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_on_a_node_that_has_room_bodies_streaming_both_ways() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let relay = RelayProcess::open(&server, true, OWNER_WAIT).await;
    // No node has been announced.
    let nowhere = send(relay.ask(&server, "POST", "/v1/functions/f/invoke").body("x")).await;
    nowhere.problem("unavailable");
    announce(&server.services.backend, &format!("http://{}", server.addr)).await;
    // No owner is needed for calls.
    relay.tell.send_replace(None);
    for body in [Vec::new(), vec![0, 255, 10], vec![b'x'; 3 << 20]] {
        let call = || relay.ask(&server, "POST", "/v1/functions/f/invoke").body(body.clone());
        // Presence arrives after a short time.
        let mut answer = send(call()).await;
        while answer.status == 503 {
            tokio::task::yield_now().await;
            answer = send(call()).await;
        }
        let answer = answer.is(200);
        assert!(answer.header("fabric-invocation-id").is_some());
        assert!(answer.body == body, "the body comes back whole");
    }
    // Refused by the receiver, with the caller's own token.
    let nobody = reqwest::Client::new().post(format!("{}/v1/functions/f/invoke", relay.url));
    send(nobody).await.problem("unauthenticated");
    // A key belongs to the process that received the request, and the answer is stored there.
    let keyed = || relay.ask(&server, "POST", "/v1/functions/f/invoke").header("idempotency-key", "k").body("once");
    let first = send(keyed()).await.is(200);
    let again = send(keyed()).await.is(200);
    assert_eq!(first.header("fabric-invocation-id"), again.header("fabric-invocation-id"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_functions_run_on_a_node_that_has_room() {
    let server = Server::start().await;
    server.deploy("hello", guest("http-hello"), json!({})).await.is(201);
    let relay = RelayProcess::open(&server, false, OWNER_WAIT).await;
    announce(&server.services.backend, &format!("http://{}", server.addr)).await;
    let call = || relay.ask(&server, "GET", "/f/default/hello/a/b?q=1");
    let mut answer = send(call()).await;
    while answer.status == 503 {
        tokio::task::yield_now().await;
        answer = send(call()).await;
    }
    let text = answer.is(200).text();
    assert!(text.contains("path: /a/b") && text.contains("query: q=1"), "{text}");
    let nobody = reqwest::Client::new().get(format!("{}/f/default/hello/", relay.url));
    send(nobody).await.problem("unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_passed_over_and_no_call_goes_round_in_a_circle() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let relay = RelayProcess::open(&server, true, OWNER_WAIT).await;
    let call = || relay.ask(&server, "POST", "/v1/functions/f/invoke").body("x");
    announce(&server.services.backend, "http://127.0.0.1:1").await;
    send(call()).await.problem("unavailable");
    announce(&server.services.backend, &relay.url).await;
    send(call()).await.problem("unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_an_owner_and_are_told_when_none_comes() {
    let server = Server::start().await;
    let relay = RelayProcess::open(&server, true, OWNER_WAIT).await;
    relay.tell.send_replace(None);
    let waiting = tokio::spawn(send(relay.ask(&server, "GET", "/v1/jobs")));
    // A dead owner, then one that answers.
    relay.tell.send_replace(Some("http://127.0.0.1:1".to_owned()));
    relay.tell.send_replace(Some(format!("http://{}", server.addr)));
    waiting.await.unwrap().is(200);

    let relay = RelayProcess::open(&server, true, Duration::from_millis(1)).await;
    relay.tell.send_replace(None);
    send(relay.ask(&server, "GET", "/v1/jobs")).await.problem("unavailable");
    // An outdated address that leads back to this process.
    relay.tell.send_replace(Some(relay.url.clone()));
    send(relay.ask(&server, "POST", "/v1/jobs").body("{}")).await.problem("unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_lets_its_callers_go_when_another_takes_over() {
    let server = Server::start().await;
    let relay = RelayProcess::open(&server, true, OWNER_WAIT).await;
    // It accepts the connection and never answers.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    relay.tell.send_replace(Some(format!("http://{}", frozen.local_addr().unwrap())));
    let reads = tokio::spawn(send(relay.ask(&server, "GET", "/v1/jobs")));
    let _first = frozen.accept().await.unwrap();
    let writes = tokio::spawn(send(relay.ask(&server, "POST", "/v1/jobs").body("{}")));
    let _second = frozen.accept().await.unwrap();
    relay.tell.send_replace(Some(format!("http://{}", server.addr)));
    // A safe request is sent again. For the other one it is unknown if it took effect.
    reads.await.unwrap().is(200);
    writes.await.unwrap().problem("unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_runs_guests_answers_for_nobody() {
    let server = Server::start().await;
    let relay = RelayProcess::open(&server, false, OWNER_WAIT).await;
    let refused = send(relay.ask(&server, "GET", "/v1/jobs")).await.is(404);
    assert!(refused.problem("not-found").hint.unwrap().contains("gateway"));
}
