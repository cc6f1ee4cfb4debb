//! Conformance suite for [`Leases`]. Run it with paused time if the backend is in-process.

use crate::{Error, lease::Leases};
use std::{sync::Arc, time::Duration};

const TTL: Duration = Duration::from_secs(2);

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Leases>) {
    holds_for_one(&*make().await).await;
    fences_after_expiry(&*make().await).await;
    renews(&*make().await).await;
    races(&*make().await).await;
    shows_and_takes_over(&*make().await).await;
}

async fn shows_and_takes_over(leases: &dyn Leases) {
    assert_eq!(leases.get("job").await.unwrap(), None);
    let a = leases.acquire("job", "a", TTL).await.unwrap().unwrap();
    let seen = leases.get("job").await.unwrap().unwrap();
    assert_eq!(seen.lease, a);
    assert_eq!(leases.get("job").await.unwrap().unwrap(), seen, "reading changes nothing");
    leases.renew(&a, TTL).await.unwrap();
    let renewed = leases.get("job").await.unwrap().unwrap();
    assert_ne!(renewed.version, seen.version);
    assert_eq!(leases.take_over(&seen, "b", TTL).await.unwrap(), None, "its holder has renewed it since");
    let b = leases.take_over(&renewed, "b", TTL).await.unwrap().unwrap();
    assert!(b.epoch > a.epoch && b.holder == "b");
    assert!(matches!(leases.renew(&a, TTL).await, Err(Error::LeaseLost { .. })));
    leases.renew(&b, TTL).await.unwrap();
    assert_eq!(leases.take_over(&renewed, "c", TTL).await.unwrap(), None, "one of two takes it");
    leases.release(&b).await.unwrap();
    assert_eq!(leases.get("job").await.unwrap(), None);
}

async fn holds_for_one(leases: &dyn Leases) {
    let a = leases.acquire("job", "a", TTL).await.unwrap().unwrap();
    assert_eq!(leases.acquire("job", "b", TTL).await.unwrap(), None);
    assert_eq!(leases.acquire("job", "a", TTL).await.unwrap(), Some(a.clone()), "its own");
    assert!(leases.acquire("other", "b", TTL).await.unwrap().is_some());
    leases.release(&a).await.unwrap();
    leases.release(&a).await.unwrap();
    let lost = leases.renew(&a, TTL).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    let b = leases.acquire("job", "b", TTL).await.unwrap().unwrap();
    assert!(b.epoch > a.epoch);
}

async fn fences_after_expiry(leases: &dyn Leases) {
    let a = leases.acquire("job", "a", TTL).await.unwrap().unwrap();
    tokio::time::sleep(TTL * 2).await;
    let b = leases.acquire("job", "b", TTL).await.unwrap().unwrap();
    assert!(b.epoch > a.epoch);
    assert!(matches!(leases.renew(&a, TTL).await, Err(Error::LeaseLost { .. })));
    leases.release(&a).await.unwrap();
    assert_eq!(leases.acquire("job", "c", TTL).await.unwrap(), None, "a lost lease releases nothing");
    leases.renew(&b, TTL).await.unwrap();
}

async fn renews(leases: &dyn Leases) {
    let a = leases.acquire("job", "a", TTL).await.unwrap().unwrap();
    for _ in 0..4 {
        tokio::time::sleep(TTL / 2).await;
        leases.renew(&a, TTL).await.unwrap();
    }
    assert_eq!(leases.acquire("job", "b", TTL).await.unwrap(), None);
}

async fn races(leases: &dyn Leases) {
    let holders: Vec<String> = (0..32).map(|n| format!("h{n}")).collect();
    let answers = futures::future::join_all(holders.iter().map(|h| leases.acquire("race", h, TTL))).await;
    assert_eq!(answers.into_iter().filter_map(Result::unwrap).count(), 1);
}
