//! `/readyz` and the metrics while a dependency of a process is frozen, lost or full.

use fabric_tests::{Server, SmallFleet, until};

async fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", server.url())).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Returns the value of a metric with one label, given as `name{label="value"}`.
async fn sample(server: &Server, of: &str) -> Option<f64> {
    let (_, text) = get(server, "/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(of)?.trim().parse().ok())
}

#[tokio::test]
async fn a_frozen_nats_makes_no_process_ready() {
    let fleet = SmallFleet::start(1, &[]).await;
    let server = &fleet.servers[0];
    let (status, all) = get(server, "/readyz?verbose").await;
    assert_eq!(status, 200, "{all}");
    for check in ["process", "node", "registry", "store", "disk", "nats", "nodes", "jobs"] {
        assert!(all.contains(&format!("\n{check}: ok (")) || all.starts_with(&format!("{check}: ok (")), "{all}");
    }
    assert!(all.ends_with("\nready\n"), "{all}");
    assert_eq!(sample(server, r#"fabric_dependency_up{dependency="nats"}"#).await, Some(1.0));
    assert_eq!(sample(server, "fabric_nats_connected").await, Some(1.0));
    assert_eq!(sample(server, "fabric_owns_jobs").await, Some(1.0));

    fleet.nats_process().signal("STOP");
    // The connection still stands. A readiness report is cached for half a second.
    until("the process is not ready", async || get(server, "/readyz").await.0 == 503).await;
    let (status, why) = get(server, "/readyz").await;
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("not ready: ") && why.contains("nats"), "{why}");
    let (status, all) = get(server, "/readyz?verbose").await;
    assert_eq!(status, 503);
    assert!(
        all.contains("\nnats: failed: ") && all.contains("\nstore: ok (") && all.ends_with("\nnot ready\n"),
        "{all}"
    );
    assert_eq!(sample(server, r#"fabric_dependency_up{dependency="nats"}"#).await, Some(0.0));
    assert_eq!(sample(server, r#"fabric_dependency_up{dependency="store"}"#).await, Some(1.0));
    until("the connection counts as lost", async || sample(server, "fabric_nats_connected").await == Some(0.0)).await;
    // Endpoints that do not depend on NATS still respond.
    assert_eq!(get(server, "/healthz").await.0, 200);

    fleet.nats_process().signal("CONT");
    until("the process is ready again", async || get(server, "/readyz").await == (200, "ready\n".to_owned())).await;
    assert!(sample(server, "fabric_nats_reconnects_total").await.unwrap() >= 1.0);
}

#[tokio::test]
async fn a_gateway_without_nodes_is_not_ready() {
    let mut fleet = SmallFleet::start(0, &[]).await;
    fleet.join(&["--role", "gateway,scheduler"]).await;
    let (status, all) = get(&fleet.servers[0], "/readyz?verbose").await;
    assert_eq!(status, 503);
    assert!(all.contains("\nnodes: failed: no node is announced"), "{all}");
    fleet.join(&["--role", "gateway,node"]).await;
    let gateway = &fleet.servers[0];
    until("the gateway is ready", async || get(gateway, "/readyz").await.0 == 200).await;
    assert_eq!(sample(gateway, "fabric_nodes").await, Some(1.0));
    let name = r#"fabric_lease_age_seconds{lease="name"}"#;
    assert!(sample(gateway, name).await.is_some_and(|age| age < 15.0));

    fleet.servers[1].kill9().await;
    let gateway = &fleet.servers[0];
    until("the node is lost", async || get(gateway, "/readyz").await.0 == 503).await;
    assert_eq!(sample(gateway, "fabric_nodes").await, Some(0.0));
    until("the lost node is counted", async || sample(gateway, "fabric_nodes_lost_total").await == Some(1.0)).await;
}

#[tokio::test]
async fn the_process_and_its_disk_have_the_usual_metrics() {
    let server = Server::start(fabric_tests::Options::default()).await;
    let process = server.process();
    let resident = sample(&server, "process_resident_memory_bytes").await.unwrap();
    let ours = process.resident() as f64;
    assert!((resident - ours).abs() < ours / 2.0, "{resident} {ours}");
    let open = sample(&server, "process_open_fds").await.unwrap();
    assert!((open - process.descriptors() as f64).abs() < 20.0, "{open}");
    assert!(sample(&server, "process_max_fds").await.unwrap() >= open);
    let busy = sample(&server, "process_cpu_seconds_total").await.unwrap();
    assert!(busy > 0.0 && sample(&server, "process_cpu_seconds_total").await.unwrap() >= busy);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let start = sample(&server, "process_start_time_seconds").await.unwrap();
    assert!(start <= now + 1.0 && start > now - 300.0, "{start} {now}");
    let build = format!("fabric_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(sample(&server, &build).await, Some(1.0));
    let (free, size) = (
        sample(&server, r#"fabric_disk_free_bytes{folder="data"}"#).await.unwrap(),
        sample(&server, r#"fabric_disk_size_bytes{folder="data"}"#).await.unwrap(),
    );
    assert!(free > 0.0 && free < size);
}

#[tokio::test]
async fn a_fleet_whose_only_scheduler_died_says_so() {
    let mut fleet = SmallFleet::start(0, &["--job-lease", "2"]).await;
    fleet.join(&[]).await;
    fleet.join(&["--role", "gateway,node"]).await;
    let jobs = async |fleet: &SmallFleet| get(&fleet.servers[1], "/readyz?verbose").await.1;
    until("the jobs have an owner", async || jobs(&fleet).await.contains("\njobs: ok (")).await;
    fleet.servers[0].kill9().await;
    until("the owner counts as lost", async || {
        jobs(&fleet).await.contains("\njobs: degraded: no process owns the jobs")
    })
    .await;
    fleet.servers[0].restart().await;
    until("the jobs have an owner again", async || jobs(&fleet).await.contains("\njobs: ok (")).await;
}
