//! Workers that hang, are killed, or end: the errors of the sessions, and recovery with the next call.

use crate::start::*;
use fabric_gpu::{Error, Gpu, Grant};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

pub fn kill(worker: u32) {
    kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
}

/// Returns the CPU time of a process in ticks, user plus system: fields 14 and 15 of `stat`, counted after the name.
pub fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}

/// Waits until the worker runs a submit, which is detected by its CPU time.
async fn is_busy(worker: u32) {
    let before = ticks(worker);
    while ticks(worker) < before + 10 {
        assert!(std::path::Path::new(&format!("/proc/{worker}")).exists(), "the worker ended before it was busy");
        tokio::task::yield_now().await;
    }
}

fn impatient() -> Grant {
    Grant { submit_deadline: Duration::from_millis(1500), ..grant() }
}

async fn hang(session: &fabric_gpu::Session) -> Error {
    session.submit(vec![endless(session).await], vec![]).await.unwrap_err()
}

#[tokio::test]
async fn a_shader_that_does_not_end_is_stopped_at_its_deadline() {
    let gpu = gpu(options()).await;
    let hostile = gpu.session(impatient()).unwrap();
    let other = gpu.session(grant()).unwrap();
    let idle = gpu.session(grant()).unwrap();
    let buffer = filled(&other, &[1, 2, 3]).await;
    let first = gpu.worker_id();
    let command = endless(&hostile).await;
    let before = hostile.device_time_left();
    let error = hostile.submit(vec![command], vec![]).await.unwrap_err();
    assert_eq!(error, Error::TimedOut { deadline_ms: 1500 });
    assert_eq!(before - hostile.device_time_left(), Duration::from_millis(1500), "it is paid for");
    // The neighbour receives one error, its handles are stale, and the session stays usable.
    let lost = other.read(whole(&other, buffer)).await.unwrap_err();
    assert!(matches!(lost, Error::DeviceLost(_)) && lost.is_retryable(), "{lost:?}");
    assert!(matches!(other.size(buffer), Err(Error::Invalid(_))));
    assert!(works(&other).await);
    // A session without state receives no error.
    assert!(works(&idle).await);
    // The hostile session also stays usable, within its grant.
    assert!(works(&hostile).await);
    assert_ne!(gpu.worker_id(), first);
}

#[tokio::test]
async fn again_and_again() {
    let gpu = gpu(options()).await;
    let hostile = gpu.session(impatient()).unwrap();
    let other = gpu.session(grant()).unwrap();
    for _ in 0..3 {
        assert!(matches!(hang(&hostile).await, Error::TimedOut { .. }));
        assert!(works(&other).await);
    }
}

#[tokio::test]
async fn a_worker_killed_in_mid_submit_is_started_again() {
    let gpu = gpu(options()).await;
    let victim = gpu.session(patient()).unwrap();
    let worker = gpu.worker_id().unwrap();
    let killer = async {
        is_busy(worker).await;
        kill(worker);
    };
    let command = endless(&victim).await;
    let before = victim.device_time_left();
    let (result, ()) = tokio::join!(victim.submit(vec![command], vec![]), killer);
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::DeviceLost(why) if why.contains("signal 9")), "{error:?}");
    assert_eq!(victim.device_time_left(), before, "nothing is charged");
    assert!(works(&victim).await);
}

#[tokio::test]
async fn a_worker_killed_between_calls_is_started_again() {
    let gpu = gpu(options()).await;
    let session = gpu.session(grant()).unwrap();
    let buffer = filled(&session, &[1]).await;
    for _ in 0..2 {
        kill(gpu.worker_id().unwrap());
        // Either the worker is found dead, or a new worker without the buffer is running.
        let lost = loop {
            match session.write(buffer, 0, raw(&[2])).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert!(lost.is_retryable() || matches!(lost, Error::Invalid(_)), "{lost:?}");
        assert!(works_soon(&gpu).await);
    }
}

/// Returns `true` if a new session works, at the latest after the worker's restart.
async fn works_soon(gpu: &Gpu) -> bool {
    let session = gpu.session(grant()).unwrap();
    loop {
        match session.create(4).await {
            Ok(buffer) => {
                session.destroy(buffer).await.unwrap();
                return works(&session).await;
            }
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_loss_that_is_found_when_something_is_given_back_is_told_by_the_next_call() {
    let gpu = gpu(options()).await;
    let session = gpu.session(grant()).unwrap();
    let (kept, dropped) = (filled(&session, &[1]).await, filled(&session, &[2]).await);
    let add = compile(&session, INCREMENT).await;
    let last = gpu.session(grant()).unwrap();
    let only = filled(&last, &[3]).await;
    kill(gpu.worker_id().unwrap());
    session.destroy(dropped).await.unwrap();
    // Not `invalid`: this is not a guest fault, and a retry of the whole work may succeed.
    let lost = session.submit(vec![dispatch(add, &[kept], 1)], vec![]).await.unwrap_err();
    assert!(matches!(lost, Error::DeviceLost(_)), "{lost:?}");
    // The loss is reported once. After that, the old handles are stale.
    let stale = session.submit(vec![dispatch(add, &[kept], 1)], vec![]).await.unwrap_err();
    assert!(matches!(stale, Error::Invalid(_)), "{stale:?}");
    assert!(works(&session).await);
    // A session without other state has lost nothing.
    last.destroy(only).await.unwrap();
    assert!(works(&last).await);
}

#[tokio::test]
async fn a_submit_that_waits_its_turn_is_not_charged_for_the_one_before() {
    let gpu = gpu(options()).await;
    let slow = gpu.session(Grant { submit_deadline: Duration::from_secs(5), ..grant() }).unwrap();
    let quick = gpu.session(Grant { submit_deadline: Duration::from_secs(1), ..grant() }).unwrap();
    let buffer = filled(&quick, &[1]).await;
    let add = compile(&quick, INCREMENT).await;
    let command = endless(&slow).await;
    let worker = gpu.worker_id().unwrap();
    let before = quick.device_time_left();
    let waiting = async {
        is_busy(worker).await;
        // Its deadline is shorter than the wait, but starts only on the worker. The submit is lost with the worker
        // instead.
        quick.submit(vec![dispatch(add, &[buffer], 1)], vec![]).await.unwrap_err()
    };
    let (slow, waited) = tokio::join!(slow.submit(vec![command], vec![]), waiting);
    assert_eq!(slow, Err(Error::TimedOut { deadline_ms: 5000 }));
    assert!(matches!(waited, Error::DeviceLost(_)), "{waited:?}");
    assert_eq!(quick.device_time_left(), before);
}

#[tokio::test]
async fn shutting_down_ends_the_worker_and_what_waits() {
    let gpu = gpu(options()).await;
    let worker = gpu.worker_id().unwrap();
    let session = gpu.session(grant()).unwrap();
    assert!(works(&session).await);
    gpu.shutdown().await;
    assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
    assert!(session.create(4).await.unwrap_err().is_retryable());
}
