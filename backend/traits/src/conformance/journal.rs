//! Conformance suite for [`Journal`].

use super::{is_quiet, next};
use crate::{Error, journal::Journal};
use bytes::Bytes;
use futures::{StreamExt as _, future::join_all};
use std::sync::Arc;

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Journal>) {
    appends_all_or_nothing(&*make().await).await;
    fences_a_stale_owner(&*make().await).await;
    lists_streams(&*make().await).await;
    follows_across_appends_and_delete(make().await).await;
    wakes_every_follower_of_a_stream(make().await).await;
}

fn bytes(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(n.to_string())).collect()
}

async fn appends_all_or_nothing(journal: &dyn Journal) {
    assert_eq!(journal.read("s", 0, 10).await.unwrap(), []);
    assert_eq!(journal.append("s", 0, bytes(0..3)).await.unwrap(), 3);
    assert!(matches!(journal.append("s", 2, bytes(9..12)).await, Err(Error::Conflict { .. })));
    assert!(matches!(journal.append("s", 4, bytes(9..12)).await, Err(Error::Conflict { .. })));
    assert_eq!(journal.append("s", 3, Vec::new()).await.unwrap(), 3);
    assert_eq!(journal.append("s", 3, bytes(3..700)).await.unwrap(), 700);
    let all = journal.read("s", 0, 1000).await.unwrap();
    assert_eq!(all.len(), 700);
    for (n, record) in all.iter().enumerate() {
        assert_eq!((record.seq, &record.bytes), (n as u64, &Bytes::from(n.to_string())));
    }
    assert_eq!(journal.read("s", 698, 1000).await.unwrap(), all[698..]);
    assert_eq!(journal.read("s", 10, 5).await.unwrap(), all[10..15]);
    assert_eq!(journal.read("s", 700, 5).await.unwrap(), []);
    assert_eq!(journal.read("s", 0, 0).await.unwrap(), []);
}

async fn fences_a_stale_owner(journal: &dyn Journal) {
    for round in 0..8u64 {
        let answers = join_all((0..32u32).map(|n| journal.append("race", round, bytes(n..n + 1)))).await;
        let winners: Vec<usize> = (0..32).filter(|i| answers[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "one owner wins each place");
        let record = journal.read("race", round, 9).await.unwrap();
        assert_eq!(record.len(), 1);
        assert_eq!(record[0].bytes, Bytes::from(winners[0].to_string()));
    }
}

async fn lists_streams(journal: &dyn Journal) {
    for (name, len) in [("j/b", 2), ("j/a", 1), ("j", 1), ("k/a", 1), ("j/c", 3)] {
        journal.append(name, 0, bytes(0..len)).await.unwrap();
    }
    let list = journal.streams("j/", None, 10).await.unwrap();
    assert_eq!(list.iter().map(|s| (s.name.as_str(), s.len)).collect::<Vec<_>>(), [("j/a", 1), ("j/b", 2), ("j/c", 3)]);
    assert_eq!(journal.streams("j/", Some("j/a"), 1).await.unwrap(), list[1..2]);
    journal.delete("j/b").await.unwrap();
    journal.delete("j/b").await.unwrap();
    assert_eq!(journal.streams("j/", Some("j/a"), 9).await.unwrap(), list[2..]);
}

async fn follows_across_appends_and_delete(journal: Arc<dyn Journal>) {
    journal.append("f", 0, bytes(0..2)).await.unwrap();
    let mut early = journal.follow("f", 1);
    assert_eq!(next(&mut early).await.unwrap().seq, 1);
    let write = async {
        for n in 2..600u32 {
            journal.append("f", n.into(), bytes(n..n + 1)).await.unwrap();
        }
    };
    let read = async {
        for n in 2..600u64 {
            let record = next(&mut early).await.unwrap();
            assert_eq!((record.seq, record.bytes), (n, Bytes::from(n.to_string())));
        }
    };
    tokio::join!(write, read);
    let mut unborn = journal.follow("later", 0);
    let (record, _) = tokio::join!(next(&mut unborn), journal.append("later", 0, bytes(0..1)));
    assert_eq!(record.unwrap().seq, 0);
    journal.delete("f").await.unwrap();
    // A new stream of the same name is a different stream.
    journal.append("f", 0, bytes(0..900)).await.unwrap();
    assert!(early.next().await.is_none(), "following ends with the stream");
    assert_eq!(next(&mut journal.follow("f", 899)).await.unwrap().seq, 899);
}

async fn wakes_every_follower_of_a_stream(journal: Arc<dyn Journal>) {
    let mut followers = [journal.follow("f", 0), journal.follow("f", 0), journal.follow("f", 1)];
    let mut other = journal.follow("other", 0);
    for follower in &mut followers {
        assert!(is_quiet(follower));
    }
    journal.append("f", 0, bytes(0..2)).await.unwrap();
    for (follower, from) in followers.iter_mut().zip([0, 0, 1]) {
        for seq in from..2 {
            assert_eq!(next(follower).await.unwrap().seq, seq);
        }
    }
    assert!(is_quiet(&mut other));
    drop(journal);
    // All at once: a follower that is in the middle of a read keeps its journal open.
    let ends = join_all(followers.iter_mut().chain([&mut other]).map(|follower| follower.next())).await;
    assert!(ends.iter().all(Option::is_none), "following ends with the journal");
}
