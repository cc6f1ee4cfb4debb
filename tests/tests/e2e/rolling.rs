//! A rolling restart of a fleet behind a load balancer that probes `/readyz`: no call fails.

use fabric_client::{Client, InvokeRequest};
use fabric_tests::{Balancer, SmallFleet, until};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Returns a client that does not retry.
fn client(url: &str, token: &str) -> Client {
    Client::new(fabric_client::Options::new(url).token(token).attempts(1)).unwrap()
}

/// Sends calls until `stop` is set. Returns the number of responses, and the errors of the other calls.
async fn call(url: String, token: String, keeps_connection: bool, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut answered, mut refused) = (0, Vec::new());
    let mut caller = client(&url, &token);
    while !stop.load(Ordering::Relaxed) {
        if !keeps_connection {
            caller = client(&url, &token);
        }
        match caller.invoke("montecarlo-pi", InvokeRequest::new(r#"{"seed":1,"samples":2000}"#)).await {
            Ok(_) => answered += 1,
            Err(error) => refused.push(format!("{error} {:?}", error.problem())),
        }
    }
    (answered, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_behind_a_proxy_refuses_no_call() {
    let mut fleet = SmallFleet::start(3, &["--shutdown-delay", "2"]).await;
    fleet.servers[0].example("montecarlo-pi").await;
    let urls: Vec<_> = fleet.servers.iter().map(|server| server.url().to_owned()).collect();
    let balancer = Balancer::start(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    until("all are ready", async || balancer.ready() == 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = [false, false, true, true]
        .into_iter()
        .map(|keeps| {
            let token = fleet.servers[0].admin().to_owned();
            tokio::spawn(call(balancer.url(), token, keeps, stop.clone()))
        })
        .collect();
    // The owner of the jobs is last, as the documentation recommends.
    for at in [2, 1, 0] {
        let before = fleet.servers[at].url().to_owned();
        fleet.servers[at].restart_gently().await;
        balancer.moved(&before, fleet.servers[at].url());
        until("all are ready again", async || balancer.ready() == 3).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for caller in callers {
        let (some, refused) = caller.await.unwrap();
        assert!(refused.is_empty(), "{} of {} were refused: {refused:#?}", refused.len(), some + refused.len());
        answered += some;
    }
    assert!(answered > 100, "{answered} calls are too few for a result");
}
