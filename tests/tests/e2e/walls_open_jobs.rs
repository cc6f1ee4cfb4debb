//! Attacks with jobs that stay open: the owner holds all their tasks in memory until they end.

use fabric_api::Problem;
use fabric_client::Client;
use fabric_tests::{Options, Server, hostile, manifest};
use fabric_types::{
    Code,
    job::{JobSpec, JobState},
    rest::{job::Job, token::Role},
};
use serde_json::json;

/// The minimum memory for open jobs that a server accepts. A tenant's share is half.
const ROOM: &str = "[placement]\nopen-jobs-memory = \"8MiB\"\n";
/// Tasks of one job: 2.8 MiB at 288 bytes each, plus their items.
const TASKS: usize = 10_000;

async fn submit(client: &Client, tasks: usize) -> Result<Job, Problem> {
    let spec: JobSpec =
        serde_json::from_value(json!({"function": "sleep", "input": {"items": vec![1; tasks]}})).unwrap();
    client.submit(&spec, None).await.map_err(|e| e.problem().unwrap_or_else(|| panic!("{e}")).clone())
}

/// Starts a server with [`ROOM`]. Returns it with the folder of its configuration.
async fn small_server() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fabric.toml");
    std::fs::write(&file, ROOM).unwrap();
    let args = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
    (Server::start(Options { args }).await, folder)
}

#[tokio::test]
async fn open_jobs_of_one_tenant_leave_room_for_another_and_give_it_back() {
    let (server, _folder) = small_server().await;
    let (greedy, other) =
        (server.token("greedy", Role::TenantAdmin).await, server.token("other", Role::TenantAdmin).await);
    let (greedy, other) = (server.client_with(&greedy), server.client_with(&other));
    for client in [&greedy, &other] {
        let deploy =
            fabric_client::DeployRequest::new(manifest("sleep", "[limits]\ndeadline-ms = 60000"), hostile("sleep"));
        client.deploy(&deploy).await.unwrap();
    }
    let first = submit(&greedy, TASKS).await.unwrap();
    // It would fit alone, but not together with the first.
    let refused = submit(&greedy, TASKS).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Code::TooManyRequests, 429), "{refused:?}");
    assert!(refused.hint.as_deref().is_some_and(|hint| hint.contains("cancel")), "{refused:?}");
    // A job larger than the tenant's share never fits.
    let too_large = submit(&greedy, 2 * TASKS).await.unwrap_err();
    assert_eq!(too_large.code, Code::InvalidInputSpec, "{too_large:?}");
    // The other tenant has its half.
    let theirs = submit(&other, TASKS).await.unwrap();
    // A job that ends releases its memory.
    greedy.cancel_job(first.id.as_str()).await.unwrap();
    assert_eq!(greedy.wait_job(first.id.as_str()).await.unwrap().state, JobState::Cancelled);
    let second = submit(&greedy, TASKS).await.unwrap();
    for (client, job) in [(&greedy, second), (&other, theirs)] {
        client.cancel_job(job.id.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn jobs_of_before_a_restart_are_charged_again() {
    let (mut server, _folder) = small_server().await;
    let deploy =
        fabric_client::DeployRequest::new(manifest("sleep", "[limits]\ndeadline-ms = 60000"), hostile("sleep"));
    server.client().deploy(&deploy).await.unwrap();
    let first = submit(server.client(), TASKS).await.unwrap();
    server.kill9().await;
    server.restart().await;
    let refused = submit(server.client(), TASKS).await.unwrap_err();
    assert_eq!(refused.code, Code::TooManyRequests, "{refused:?}");
    server.client().cancel_job(first.id.as_str()).await.unwrap();
}
