//! Several processes of one fabric: a process that lost ownership cannot write.

use crate::over::{self, Over};
use bytes::Bytes;
use fabric_backend::{
    Error,
    registry::{Change, Precondition},
};
use fabric_fleet::Fleet;
use futures::{StreamExt as _, future::join_all};
use std::time::Duration;

fn records(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from((*text).to_owned())).collect()
}

async fn texts(fleet: &Fleet, stream: &str) -> Vec<String> {
    let records = fleet.backend.journal.read(stream, 0, usize::MAX).await.unwrap();
    assert!(records.iter().enumerate().all(|(n, record)| record.seq == n as u64));
    records.iter().map(|record| String::from_utf8(record.bytes.to_vec()).unwrap()).collect()
}

fn is_conflict<T: std::fmt::Debug>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Conflict { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_owner_of_a_stream_is_refused() {
    let over = Over::s3().await;
    let (old, new) = (over.open("f").await, over.open("f").await);
    let (a, b) = (&old.backend.journal, &new.backend.journal);
    assert_eq!(a.append("j", 0, records(&["a0", "a1"])).await.unwrap(), 2);
    assert_eq!(b.append("j", 2, records(&["b2"])).await.unwrap(), 3);
    // The stale owner assumes two records until its append is refused.
    let refused = a.append("j", 2, records(&["a2"])).await;
    assert!(is_conflict(&refused), "{refused:?}");
    assert!(is_conflict(&a.append("j", 2, records(&["a2"])).await));
    assert_eq!(b.append("j", 3, records(&["b3"])).await.unwrap(), 4);
    assert_eq!(texts(&old, "j").await, ["a0", "a1", "b2", "b3"]);
    assert_eq!(a.append("j", 4, records(&["a4"])).await.unwrap(), 5, "who reads again may go on");

    // After a deletion, every position is free.
    b.delete("j").await.unwrap();
    let gone = a.append("j", 5, records(&["a5"])).await;
    assert!(is_conflict(&gone), "{gone:?}");
    assert_eq!(texts(&new, "j").await, [""; 0]);
    assert_eq!(b.streams("", None, 9).await.unwrap(), [], "what a stale owner left is no stream");
    // The same if the stream was created again.
    assert_eq!(a.append("k", 0, records(&["0", "1", "2"])).await.unwrap(), 3);
    b.delete("k").await.unwrap();
    assert_eq!(b.append("k", 0, records(&["new"])).await.unwrap(), 1);
    let gone = a.append("k", 3, records(&["3"])).await;
    assert!(is_conflict(&gone), "{gone:?}");
    assert_eq!(b.append("k", 1, records(&["er", "and", "longer"])).await.unwrap(), 4);
    assert_eq!(texts(&new, "k").await, ["new", "er", "and", "longer"]);
    assert_eq!(b.streams("", None, 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_processes_one_wins_each_time() {
    one_wins_each_time(&Over::s3().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_processes_on_one_machine_one_wins_each_time() {
    one_wins_each_time(&Over::folder()).await;
}

async fn one_wins_each_time(over: &Over) {
    let fleets = join_all((0..4).map(|_| over.open("f"))).await;
    for round in 0..4u64 {
        let answers = over::all(&fleets, async |n, fleet| {
            fleet.backend.journal.append("race", round, records(&[&n.to_string()])).await
        })
        .await;
        let winners: Vec<usize> = (0..4).filter(|n| answers[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!((0..4).all(|n| answers[n].is_ok() || is_conflict(&answers[n])), "{answers:?}");
        assert_eq!(texts(&fleets[0], "race").await[round as usize], winners[0].to_string());

        let now = fleets[0].backend.registry.get("race").await.unwrap();
        let expect = now.map_or(Precondition::Absent, |entry| Precondition::Revision(entry.revision));
        let answers =
            over::all(&fleets, async |n, fleet| fleet.backend.registry.put("race", n.to_string().into(), expect).await)
                .await;
        let winners: Vec<usize> = (0..4).filter(|n| answers[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let entry = fleets[3].backend.registry.get("race").await.unwrap().unwrap();
        assert_eq!(entry.value, winners[0].to_string());

        let ttl = Duration::from_secs(60);
        let holders = over::all(&fleets, async |n, fleet| {
            fleet.backend.leases.acquire(&format!("race/{round}"), &format!("h{n}"), ttl).await.unwrap()
        })
        .await;
        assert_eq!(holders.iter().flatten().count(), 1, "{holders:?}");
    }
    // Concurrent read-modify-write loops lose no update: each retries until its write succeeds.
    over::all(&fleets, async |_, fleet| {
        for _ in 0..5 {
            loop {
                let now = fleet.backend.registry.get("sum").await.unwrap();
                let sum = now.as_ref().map_or(0, |e| String::from_utf8_lossy(&e.value).parse::<u32>().unwrap());
                let expect = now.map_or(Precondition::Absent, |entry| Precondition::Revision(entry.revision));
                match fleet.backend.registry.put("sum", (sum + 1).to_string().into(), expect).await {
                    Ok(_) => break,
                    Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error}"),
                }
            }
        }
    })
    .await;
    assert_eq!(fleets[0].backend.registry.get("sum").await.unwrap().unwrap().value, "20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_taken_over_after_its_time_and_the_old_holder_learns_it() {
    let over = Over::s3().await;
    let (old, new) = (over.open("f").await, over.open("f").await);
    let ttl = Duration::from_secs(1);
    let held = old.backend.leases.acquire("job", "a", ttl).await.unwrap().unwrap();
    // The contender does not know the age of the lease: it observes it for its whole duration before it takes over.
    assert_eq!(new.backend.leases.acquire("job", "b", ttl).await.unwrap(), None);
    old.backend.leases.renew(&held, ttl).await.unwrap();
    let taken = loop {
        if let Some(lease) = new.backend.leases.acquire("job", "b", ttl).await.unwrap() {
            break lease;
        }
        tokio::time::sleep(ttl / 10).await;
    };
    assert!(taken.epoch > held.epoch);
    let lost = old.backend.leases.renew(&held, ttl).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    old.backend.leases.release(&held).await.unwrap();
    new.backend.leases.renew(&taken, ttl).await.unwrap();
    // A process with the holder's name counts as its successor and fences it.
    let next = old.backend.leases.acquire("job", "b", ttl).await.unwrap().unwrap();
    assert!(next.epoch > taken.epoch);
    assert!(matches!(new.backend.leases.renew(&taken, ttl).await, Err(Error::LeaseLost { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_and_appends_of_one_process_reach_the_others() {
    let over = Over::s3().await;
    let (here, there) = (over.open("f").await, over.open("f").await);
    let mut watch = there.backend.registry.watch("w/");
    let mut follow = there.backend.journal.follow("s", 0);
    let revision = here.backend.registry.put("w/k", "1".into(), Precondition::Absent).await.unwrap();
    let Some(Change::Put(entry)) = watch.next().await else { panic!() };
    assert_eq!((entry.key.as_str(), &entry.value[..], entry.revision), ("w/k", &b"1"[..], revision));
    here.backend.registry.delete("w/k", Precondition::Revision(revision)).await.unwrap();
    assert_eq!(watch.next().await, Some(Change::Deleted("w/k".to_owned())));
    let again = here.backend.registry.put("w/k", "2".into(), Precondition::Absent).await.unwrap();
    assert!(again > revision);
    for n in 0..20u64 {
        let writer = if n % 2 == 0 { &here } else { &there };
        writer.backend.journal.append("s", n, records(&[&n.to_string()])).await.unwrap();
        assert_eq!(follow.next().await.unwrap().unwrap().bytes, n.to_string());
    }
    here.backend.journal.delete("s").await.unwrap();
    assert!(follow.next().await.is_none());
}
