//! A gateway that passes requests on: bodies both ways, and addresses that lead nowhere or back to itself.

use crate::support::{CAT, Server, wat};
use fabric_gateway::{Options, Relay};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

/// A relay to what `owner` makes of the relay's own address.
async fn relay(owner: impl FnOnce(&str) -> Option<String>) -> (Relay, watch::Sender<Option<String>>, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = watch::channel(owner(&url));
    (Relay::serve(Options::default(), listener, told).unwrap(), tell, url)
}

/// The status and the code of the problem.
async fn refused(url: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}/v1/jobs")).await.unwrap();
    let status = answer.status().as_u16();
    let problem: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_pass_both_ways_and_refusals_too() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let (_relay, _tell, url) = relay(|_| Some(format!("http://{}", server.addr))).await;
    for body in [Vec::new(), vec![0, 255, 10], vec![b'x'; 3 << 20]] {
        let answer = reqwest::Client::new()
            .post(format!("{url}/v1/functions/f/invoke"))
            .bearer_auth(&server.admin)
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("fabric-invocation-id"));
        assert!(answer.bytes().await.unwrap() == body, "the body comes back whole");
    }
    assert_eq!(refused(&url).await, (401, "unauthenticated".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_owner_a_dead_one_and_itself_are_said_at_once() {
    let (_relay, tell, url) = relay(|_| None).await;
    let unavailable = (503, "unavailable".to_owned());
    assert_eq!(refused(&url).await, unavailable);
    tell.send_replace(Some("http://127.0.0.1:1".to_owned()));
    assert_eq!(refused(&url).await, unavailable);
    // An owner that died and came back at its address before another took over.
    tell.send_replace(Some(url.clone()));
    assert_eq!(refused(&url).await, unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_lets_its_callers_go_when_another_takes_over() {
    // It takes the connection and never answers.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_relay, tell, url) = relay(|_| Some(format!("http://{}", frozen.local_addr().unwrap()))).await;
    let waiting = tokio::spawn(async move { refused(&url).await });
    let _connection = frozen.accept().await.unwrap();
    tell.send_replace(None);
    assert_eq!(waiting.await.unwrap(), (503, "unavailable".to_owned()));
}
