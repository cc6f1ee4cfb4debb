//! Nodes that drain, leave and fall silent.

use crate::support::{Fleet, acme, ended, job, node, spec, submission};
use fabric_backend::lane::ToNode;
use fabric_driver::NodeMode;
use fabric_types::job::JobState;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_draining_node_receives_no_work_and_loses_the_rest_at_its_deadline() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 1).await;
    sleep(Duration::from_secs(1)).await;
    driver.submit(submission(&job(1), spec(&["a"]))).await.unwrap();
    let first = fleet.attempt().await;
    assert_eq!(first.node, node("n1"));
    fleet.join("n2", 1).await;
    sleep(Duration::from_secs(1)).await;

    let drained = driver.set_node_mode(&node("n1"), NodeMode::Draining, None).await.unwrap();
    assert_eq!(drained.state, "draining");
    // More tasks than the other node has slots: without the drain, one would go to the first node's queue.
    driver.submit(submission(&job(2), spec(&["b", "c", "d"]))).await.unwrap();
    assert!(fleet.succeed_next(3).await.iter().all(|attempt| attempt.node == node("n2")));
    ended(&driver, &job(2)).await;

    driver.set_node_mode(&node("n1"), NodeMode::Draining, Some(Duration::ZERO)).await.unwrap();
    let abort = ToNode::Abort { job: job(1), task: first.task, attempt: first.number };
    assert_eq!(fleet.message().await, (node("n1"), abort));
    let second = fleet.succeed_next(1).await.remove(0);
    assert_eq!((second.node, second.task), (node("n2"), first.task));
    let seen = ended(&driver, &job(1)).await;
    assert_eq!((seen.state, seen.tasks.retries), (JobState::Succeeded, 0));
    let nodes = driver.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|n| n.state.as_str()).collect::<Vec<_>>(), ["drained", "ready"]);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_cordon_outlives_the_driver() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 1).await;
    sleep(Duration::from_secs(1)).await;
    driver.set_node_mode(&node("n1"), NodeMode::Cordoned, None).await.unwrap();
    driver.shutdown().await;
    let driver = fleet.driver(None).await;
    sleep(Duration::from_secs(1)).await;
    driver.submit(submission(&job(1), spec(&["a"]))).await.unwrap();
    assert!(fleet.attempts_now().await.is_empty());
    driver.set_node_mode(&node("n1"), NodeMode::Open, None).await.unwrap();
    fleet.succeed_next(1).await;
    ended(&driver, &job(1)).await;
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_released_after_its_last_attempt() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 1).await;
    driver.submit(submission(&job(1), spec(&["a"]))).await.unwrap();
    let attempt = fleet.attempt().await;
    fleet.leaves("n1").await;
    assert_eq!(fleet.messages_now().await, []);
    fleet.succeed(&attempt).await;
    ended(&driver, &job(1)).await;
    assert_eq!(fleet.message().await, (node("n1"), ToNode::Released));
    driver.submit(submission(&job(2), spec(&["b"]))).await.unwrap();
    assert!(fleet.attempts_now().await.is_empty());
    let seen = driver.job(&acme(), &job(2)).await.unwrap().unwrap();
    assert_eq!(seen.state, JobState::Queued);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_silent_node_run_on_another_node() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 1).await;
    driver.submit(submission(&job(1), spec(&["a"]))).await.unwrap();
    let first = fleet.attempt().await;
    fleet.join("n2", 1).await;
    fleet.falls_silent("n1");
    let silent = tokio::time::Instant::now();
    let second = fleet.succeed_next(1).await.remove(0);
    assert_eq!((second.node, second.task, second.number), (node("n2"), first.task, 2));
    assert!(silent.elapsed() < fabric_backend::lane::ATTEMPT_LEASE, "{:?}", silent.elapsed());
    assert_eq!(ended(&driver, &job(1)).await.state, JobState::Succeeded);
    driver.shutdown().await;
}
