//! Restart, takeover and fencing.

use crate::support::{Fleet, acme, ended, job, spec, stream, submission};
use bytes::Bytes;
use fabric_types::job::JobState;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_restarted_driver_resumes_a_job_and_ends_with_the_same_result() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 4).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a", "b", "c", "d"]))).await.unwrap();
    let done: BTreeSet<_> = fleet.succeed_next(2).await.into_iter().map(|attempt| attempt.task).collect();
    sleep(Duration::from_secs(1)).await;
    driver.shutdown().await;
    fleet.attempts_now().await;

    let driver = fleet.driver(None).await;
    let seen = driver.job(&acme(), &id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.tasks.succeeded), (JobState::Running, 2));
    for attempt in fleet.succeed_next(2).await {
        assert!(!done.contains(&attempt.task), "{} ran again", attempt.task);
    }
    assert_eq!(ended(&driver, &id).await.tasks.succeeded, 4);
    let mut results = Vec::new();
    for output in driver.outputs(&acme(), &id).await.unwrap() {
        results.push(fleet.read(&output).await);
    }
    assert_eq!(results, ["result of a", "result of b", "result of c", "result of d"]);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_takes_over_and_the_old_one_is_fenced() {
    let mut fleet = Fleet::new();
    let old = fleet.driver(Some(1)).await;
    fleet.join("n1", 1).await;
    let id = job(1);
    old.submit(submission(&id, spec(&["a", "b"]))).await.unwrap();
    fleet.succeed_next(1).await;
    sleep(Duration::from_secs(1)).await;

    let new = fleet.driver(Some(2)).await;
    sleep(Duration::from_secs(1)).await;
    assert!(fleet.journal(&id).await.ends_with('O'), "the new owner records its epoch");
    let len = fleet.journal(&id).await.len();
    // The old owner does not know yet that it lost the job.
    let cancelled = old.cancel(&acme(), &id).await.unwrap();
    assert_eq!(cancelled.state, JobState::Running);
    assert!(!fleet.journal(&id).await[len..].contains('C'), "the old owner wrote");
    // It dropped the job, so that the next request is not accepted.
    assert_eq!(old.cancel(&acme(), &id).await.unwrap_err().code, fabric_types::Code::Unavailable);

    let last = fleet.attempts_now().await.pop().unwrap();
    fleet.succeed(&last).await;
    let seen = ended(&new, &id).await;
    assert_eq!((seen.state, seen.tasks.succeeded), (JobState::Succeeded, 2));
    old.shutdown().await;
    new.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_append_of_the_old_owner_is_taken_into_account() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(Some(2)).await;
    fleet.join("n1", 1).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a"]))).await.unwrap();
    let attempt = fleet.attempt().await;
    sleep(Duration::from_secs(1)).await;
    // The record of a request for cancellation that the old owner accepted.
    let len = fleet.journal(&id).await.len() as u64;
    fleet.backend.journal.append(&stream(&id), len, vec![Bytes::from_static(b"C")]).await.unwrap();
    fleet.succeed(&attempt).await;
    assert_eq!(ended(&driver, &id).await.state, JobState::Cancelled);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_old_owner_accepted_late_is_found() {
    let mut fleet = Fleet::new();
    let old = fleet.driver(Some(1)).await;
    let new = fleet.driver(Some(2)).await;
    let id = job(1);
    old.submit(submission(&id, spec(&["a"]))).await.unwrap();
    fleet.join("n1", 1).await;
    sleep(Duration::from_secs(20)).await;
    assert!(fleet.journal(&id).await.contains('O'), "the new owner resumed it");
    let attempts = fleet.attempts_now().await;
    fleet.succeed(attempts.last().unwrap()).await;
    assert_eq!(ended(&new, &id).await.state, JobState::Succeeded);
    old.shutdown().await;
    new.shutdown().await;
}
