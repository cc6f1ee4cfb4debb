//! Cancellation, failure, stragglers, cached results, audits, and the count of commands.

use crate::support::{Attempt, Fleet, acme, deployment, ended, job, node, spec, submission};
use fabric_backend::lane::ToNode;
use fabric_types::{
    Code, Fault,
    digest::ContentDigest,
    job::{JobState, TaskId},
};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn cancelling_stops_the_attempts_and_ends_the_job() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a", "b"]))).await.unwrap();
    let running = fleet.attempt().await;
    assert_eq!(driver.cancel(&acme(), &id).await.unwrap().state, JobState::Cancelled);
    assert_eq!(fleet.message().await, (node("n1"), ToNode::AbortJob { job: id.clone() }));
    fleet.succeed(&running).await;
    sleep(Duration::from_secs(1)).await;
    let seen = driver.job(&acme(), &id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.tasks.succeeded), (JobState::Cancelled, 0));
    assert_eq!(driver.cancel(&acme(), &id).await.unwrap_err().code, Code::Conflict);
    let journal = fleet.journal(&id).await;
    assert!(journal.contains('C') && journal.ends_with('E'), "{journal}");
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_with_the_fault_of_its_task() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a", "b"]))).await.unwrap();
    let (first, _second) = (fleet.attempt().await, fleet.attempt().await);
    fleet.fail(&first, Fault::new(Code::BadRequest, "the item is invalid")).await;
    let seen = ended(&driver, &id).await;
    assert_eq!(seen.state, JobState::Failed);
    let error = seen.error.unwrap();
    assert_eq!((error.code, error.message), (Code::BadRequest, format!("task {}: the item is invalid", first.task)));
    assert_eq!(fleet.message().await, (node("n1"), ToNode::AbortJob { job: id.clone() }));
    assert_eq!(driver.outputs(&acme(), &id).await.unwrap_err().code, Code::BadRequest);
    driver.shutdown().await;
}

/// Runs a job of `items` on two nodes until only the first attempt of its first task runs, then returns that attempt
/// and its copy on the other node.
async fn straggler(fleet: &mut Fleet, items: usize) -> (Attempt, Attempt) {
    let slow = TaskId { stage: 0, index: 0 };
    let mut first = None;
    for _ in 0..items {
        let attempt = fleet.attempt().await;
        if attempt.task == slow {
            first = Some(attempt);
        } else {
            fleet.succeed(&attempt).await;
        }
    }
    let (first, copy) = (first.unwrap(), fleet.attempt().await);
    assert_eq!((copy.task, copy.number), (slow, 2));
    assert_ne!(copy.node, first.node);
    (first, copy)
}

#[tokio::test(start_paused = true)]
async fn the_slower_copy_of_a_jobs_last_task_is_stopped() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    fleet.join("n2", 2).await;
    sleep(Duration::from_secs(1)).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a", "b", "c", "d", "e", "f"]))).await.unwrap();
    let (first, copy) = straggler(&mut fleet, 6).await;
    fleet.succeed(&copy).await;
    assert_eq!(ended(&driver, &id).await.state, JobState::Succeeded);
    let abort = ToNode::Abort { job: id, task: first.task, attempt: first.number };
    assert_eq!(fleet.message().await, (first.node, abort));
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn results_of_an_earlier_job_are_found_again() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 4).await;
    driver.submit(submission(&job(1), spec(&["a", "b"]))).await.unwrap();
    let first = fleet.succeed_next(2).await;
    ended(&driver, &job(1)).await;
    let plan = driver.plan(&acme(), &deployment(), &spec(&["b", "c", "a"])).await.unwrap();
    assert_eq!((plan.tasks, plan.cached), (3, 2));

    driver.submit(submission(&job(2), spec(&["b", "a"]))).await.unwrap();
    for _ in 0..2 {
        let attempt = fleet.attempt().await;
        assert!(attempt.cache && first.iter().any(|a| a.key == attempt.key && a.item() == attempt.item()));
        fleet.succeed_with(&attempt, true, None).await;
    }
    let seen = ended(&driver, &job(2)).await;
    assert_eq!((seen.tasks.cached, seen.cost.fuel), (2, 0));
    assert_eq!(seen.remark, "all 2 tasks were served from the cache");
    let (mut first, second) =
        (driver.outputs(&acme(), &job(1)).await.unwrap(), driver.outputs(&acme(), &job(2)).await.unwrap());
    first.reverse();
    assert_eq!(first, second);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_runs_tasks_without_the_cache_and_names_those_that_differ() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 4).await;
    driver.submit(submission(&job(1), spec(&["a", "b", "c"]))).await.unwrap();
    fleet.succeed_next(3).await;
    ended(&driver, &job(1)).await;
    let auditing = driver.clone();
    let audit = tokio::spawn(async move { auditing.audit(&acme(), &job(1), 100.0, job(2), "auditor").await.unwrap() });
    for _ in 0..3 {
        let attempt = fleet.attempt().await;
        assert_eq!((&attempt.job, attempt.cache), (&job(2), false));
        let differs = (attempt.item() == "b").then_some(ContentDigest([7; 32]));
        fleet.succeed_with(&attempt, false, differs).await;
    }
    let (checked, differing) = audit.await.unwrap();
    let differing: Vec<_> = differing.into_iter().map(|task| (task.index, task.input)).collect();
    assert_eq!((checked, differing), (3, vec![(1, "item b".to_owned())]));
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn commands_are_counted_by_name() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 1).await;
    driver.submit(submission(&job(1), spec(&["a"]))).await.unwrap();
    driver.submit(submission(&job(2), spec(&["a"]))).await.unwrap();
    driver.cancel(&acme(), &job(1)).await.unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    driver.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [r#"{command="accept"} 2"#, r#"{command="cancel"} 1"#] {
        assert!(text.contains(&format!("fabric_driver_commands_total{line}\n")), "{text}");
    }
    driver.shutdown().await;
}
