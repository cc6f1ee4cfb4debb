//! The checks of readiness of this process, for `/readyz` and the metrics: its dependencies, one by one.

use crate::{
    health::{Check, CheckResult, Disk, ReadinessReport},
    state::App,
};
use futures::future::BoxFuture;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Maximum duration of one check. It is shorter than the usual timeout of clients and probes.
const LIMIT: Duration = Duration::from_millis(1500);

/// Returns a report that is at most half a second old.
pub async fn report(app: &App) -> Arc<ReadinessReport> {
    app.health.report(run_checks(app)).await
}

/// Returns the reason that this process accepts no more requests, if it is ending. No dependency is checked.
#[must_use]
pub fn ending_reason(app: &App) -> Option<&'static str> {
    if app.stopping.is_cancelled() {
        return Some("the server is stopping");
    }
    (app.leaving.is_cancelled() || app.services.node.is_leaving())
        .then_some("the process is leaving; running requests are completed")
}

async fn within(what: &str, check: impl Future<Output = Result<(), String>>) -> CheckResult {
    match tokio::time::timeout(LIMIT, check).await {
        Ok(found) => found.into(),
        Err(_) => CheckResult::Failed(format!("{what} does not answer within {} s", LIMIT.as_secs_f64())),
    }
}

async fn nodes(app: &App) -> CheckResult {
    match app.services.backend.presence.list().await {
        Ok(nodes) if nodes.iter().any(|node| !node.leaving) => CheckResult::Ok,
        Ok(_) => CheckResult::Failed("no node is announced: calls and tasks cannot run".to_owned()),
        Err(_) => CheckResult::Failed("the list of nodes is unavailable".to_owned()),
    }
}

async fn run_checks(app: &App) -> ReadinessReport {
    let services = &app.services;
    let mut checks: Vec<(&'static str, BoxFuture<'_, CheckResult>)> = vec![
        (
            "process",
            Box::pin(async { ending_reason(app).map_or(CheckResult::Ok, |why| CheckResult::Failed(why.to_owned())) }),
        ),
        (
            "node",
            Box::pin(async {
                let closed = || CheckResult::Failed("the node receives no work: its lane is closed".to_owned());
                if services.node.is_ready() { CheckResult::Ok } else { closed() }
            }),
        ),
        (
            "registry",
            Box::pin(within("the registry", async {
                let found = services.backend.registry.get("sys/ready").await;
                found.map(drop).map_err(|e| format!("the registry does not answer: {}", e.code()))
            })),
        ),
        (
            "store",
            Box::pin(within("the object store", async {
                let found = services.store.check().await;
                found.map_err(|e| format!("the object store does not answer: {}", e.code()))
            })),
        ),
        (
            "disk",
            Box::pin(async {
                Disk::of(&services.data_dir).map_or(Ok(()), |disk| disk.check("the data folder")).into()
            }),
        ),
    ];
    for dependency in &services.dependencies {
        checks.push((dependency.name(), Box::pin(within(dependency.name(), dependency.check()))));
    }
    if let Some(peers) = &services.peers {
        checks.push(("nodes", Box::pin(nodes(app))));
        let known = app.owns() || peers.knows_owner();
        let waiting = "no process owns the jobs: requests about jobs wait for one";
        let finding = if known { CheckResult::Ok } else { CheckResult::Degraded(waiting.to_owned()) };
        checks.push(("jobs", Box::pin(std::future::ready(finding))));
    }
    let checks = checks.into_iter().map(|(name, check)| async move {
        let began = Instant::now();
        let finding = check.await;
        Check { name, finding, took: began.elapsed() }
    });
    ReadinessReport { checks: futures::future::join_all(checks).await, at: Instant::now() }
}

/// Checks the dependencies and updates their metrics. Call it before the metrics are read.
pub async fn refresh_metrics(app: &App) {
    let report = report(app).await;
    let nodes = app.services.backend.presence.list().await.ok().map(|nodes| nodes.len());
    app.dependencies.update(&report, nodes, &[("data", &app.services.data_dir)], app.owns());
}
