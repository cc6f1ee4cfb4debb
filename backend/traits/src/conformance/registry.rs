//! Conformance suite for [`Registry`].

use super::next;
use crate::{
    Error,
    registry::{Change, Precondition, Registry},
};
use bytes::Bytes;
use futures::{StreamExt as _, future::join_all};
use std::{collections::HashMap, sync::Arc};

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Registry>) {
    compares_and_sets(&*make().await).await;
    lets_one_of_many_writers_win(&*make().await).await;
    lists_a_prefix_in_order_and_pages(&*make().await).await;
    shows_a_watcher_every_final_value(make().await).await;
    shows_a_slow_watcher_the_newest(&*make().await).await;
    ends_a_watch_with_the_registry(make().await).await;
}

async fn compares_and_sets(registry: &dyn Registry) {
    assert_eq!(registry.get("k").await.unwrap(), None);
    let wrong = registry.put("k", "x".into(), Precondition::Revision(1)).await;
    assert!(matches!(wrong, Err(Error::Conflict { .. })), "{wrong:?}");
    let first = registry.put("k", "1".into(), Precondition::Absent).await.unwrap();
    assert!(first > 0);
    assert!(matches!(registry.put("k", "2".into(), Precondition::Absent).await, Err(Error::Conflict { .. })));
    let second = registry.put("k", "2".into(), Precondition::Revision(first)).await.unwrap();
    assert!(second > first);
    assert!(matches!(registry.put("k", "3".into(), Precondition::Revision(first)).await, Err(Error::Conflict { .. })));
    let entry = registry.get("k").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from("2"), second));
    assert!(matches!(registry.delete("k", Precondition::Revision(first)).await, Err(Error::Conflict { .. })));
    registry.delete("k", Precondition::Revision(second)).await.unwrap();
    registry.delete("k", Precondition::Any).await.unwrap();
    assert_eq!(registry.get("k").await.unwrap(), None);
    let again = registry.put("k", "4".into(), Precondition::Absent).await.unwrap();
    assert!(again > second, "a key made again counts on: a holder of the old revision must not match");
    registry.put("empty", Bytes::new(), Precondition::Any).await.unwrap();
    assert_eq!(registry.get("empty").await.unwrap().unwrap().value, Bytes::new());
}

async fn lets_one_of_many_writers_win(registry: &dyn Registry) {
    for round in 0..8 {
        let expect = match registry.get("race").await.unwrap() {
            Some(entry) => Precondition::Revision(entry.revision),
            None => Precondition::Absent,
        };
        let writers = (0..32).map(|writer| registry.put("race", format!("{round}/{writer}").into(), expect));
        let answers = join_all(writers).await;
        let winners: Vec<usize> = (0..32).filter(|i| answers[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "exactly one writer wins");
        let value = registry.get("race").await.unwrap().unwrap().value;
        assert_eq!(value, Bytes::from(format!("{round}/{}", winners[0])));
    }
}

async fn lists_a_prefix_in_order_and_pages(registry: &dyn Registry) {
    for key in ["t/a/x", "t/a/é", "t/a", "t/a/", "t/ab", "t/a0", "t/b/x", "t/a/y", "t/a/\u{10ffff}"] {
        registry.put(key, key.to_owned().into(), Precondition::Any).await.unwrap();
    }
    let keys = |entries: Vec<crate::registry::RegistryEntry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    let whole = keys(registry.list("t/a/", None, 100).await.unwrap());
    assert_eq!(whole, ["t/a/", "t/a/x", "t/a/y", "t/a/é", "t/a/\u{10ffff}"]);
    let mut paged = Vec::new();
    while let page = keys(registry.list("t/a/", paged.last().map(String::as_str), 2).await.unwrap())
        && !page.is_empty()
    {
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    assert_eq!(registry.list("", None, 100).await.unwrap().len(), 9);
    assert_eq!(registry.list("t/a/", Some("t/b"), 100).await.unwrap(), []);
    assert_eq!(keys(registry.list("t/b", Some("a"), 100).await.unwrap()), ["t/b/x"]);
    assert_eq!(registry.list("t/", None, 0).await.unwrap(), []);
}

async fn shows_a_watcher_every_final_value(registry: Arc<dyn Registry>) {
    registry.put("w/before", "0".into(), Precondition::Any).await.unwrap();
    let mut watch = registry.watch("w/");
    let writes = async {
        join_all((0..100u32).map(|n| {
            let registry = Arc::clone(&registry);
            async move {
                registry.put(&format!("w/{}", n % 10), n.to_string().into(), Precondition::Any).await.unwrap();
                registry.put(&format!("v/{n}"), "other".into(), Precondition::Any).await.unwrap();
            }
        }))
        .await;
        registry.delete("w/3", Precondition::Any).await.unwrap();
        registry.put("w/end", "end".into(), Precondition::Any).await.unwrap();
    };
    let reads = async {
        let mut newest = HashMap::new();
        loop {
            match next(&mut watch).await {
                Change::Put(entry) if entry.key == "w/end" => break newest,
                Change::Put(entry) => {
                    assert!(entry.key.starts_with("w/") && entry.key != "w/before", "{}", entry.key);
                    let key = entry.key.clone();
                    if let Some(Some(old)) = newest.insert(key, Some(entry.revision)) {
                        assert!(old < entry.revision, "revisions of a key come in order");
                    }
                }
                Change::Deleted(key) => {
                    newest.insert(key, None);
                }
            }
        }
    };
    let ((), newest) = tokio::join!(writes, reads);
    assert_eq!(newest.len(), 10);
    for (key, revision) in newest {
        assert_eq!(registry.get(&key).await.unwrap().map(|e| e.revision), revision, "{key}");
    }
}

async fn shows_a_slow_watcher_the_newest(registry: &dyn Registry) {
    let mut watch = registry.watch("s/");
    for n in 0..50u32 {
        registry.put("s/k", n.to_string().into(), Precondition::Any).await.unwrap();
    }
    let last = registry.get("s/k").await.unwrap().unwrap();
    loop {
        let Change::Put(entry) = next(&mut watch).await else { panic!("nothing was deleted") };
        if entry == last {
            break;
        }
    }
}

async fn ends_a_watch_with_the_registry(registry: Arc<dyn Registry>) {
    let (mut all, mut some) = (registry.watch(""), registry.watch("e/"));
    let revision = registry.put("e/k", "v".into(), Precondition::Absent).await.unwrap();
    registry.delete("e/k", Precondition::Revision(revision)).await.unwrap();
    registry.put("f", "v".into(), Precondition::Absent).await.unwrap();
    drop(registry);
    assert_eq!(some.next().await, Some(Change::Deleted("e/k".to_owned())), "the newest change of the key");
    assert_eq!(some.next().await, None);
    assert_eq!(all.by_ref().count().await, 2, "changes before the end are delivered");
}
