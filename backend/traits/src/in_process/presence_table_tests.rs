//! Tests of the presence table.

use super::*;
use crate::conformance::presence::node;
use futures::FutureExt as _;

const TTL: Duration = Duration::from_secs(10);

fn epoch(epoch: u64) -> NodeFacts {
    NodeFacts { epoch, ..node("a", 0) }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn by(origin: u64, seq: u64) -> PresenceStamp {
    PresenceStamp { origin, seq }
}

fn names(table: &PresenceTable) -> Vec<String> {
    table.list().iter().map(|node| node.id.to_string()).collect()
}

fn table() -> PresenceTable {
    PresenceTable::new(100, Duration::from_secs(60))
}

#[tokio::test(start_paused = true)]
async fn old_and_repeated_messages_change_nothing() {
    let table = table();
    table.announced(node("a", 0), TTL, by(1, 5));
    table.left(&id("a"), by(1, 6));
    table.announced(node("a", 0), TTL, by(1, 5));
    assert!(table.is_empty());
    // A new process of the same node has a new sequence.
    table.announced(node("a", 0), TTL, by(2, 1));
    table.left(&id("a"), by(1, 6));
    assert_eq!(names(&table), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_with_one_name_the_later_holder_is_shown() {
    let table = table();
    let shown = || table.list().iter().map(|node| node.epoch).collect::<Vec<_>>();
    table.announced(epoch(1), TTL, by(1, 1));
    table.announced(epoch(2), TTL, by(2, 1));
    assert_eq!(shown(), [2]);
    // The earlier process has not noticed yet that it lost the name.
    table.announced(epoch(1), TTL, by(1, 2));
    assert_eq!(shown(), [2]);
    table.left(&id("a"), by(1, 3));
    assert_eq!(shown(), [2], "a process removes only its own announcement");
    table.left(&id("a"), by(2, 2));
    assert_eq!(shown(), [0; 0]);
    // After the later process's announcement has expired, the earlier one is accepted.
    table.announced(epoch(2), TTL, by(2, 3));
    tokio::time::advance(TTL * 2).await;
    table.announced(epoch(1), TTL, by(1, 4));
    assert_eq!(shown(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnection_suspends_expiry_for_the_grace_period() {
    let table = table();
    table.announced(node("a", 0), TTL, by(1, 1));
    table.set_connected(false);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(names(&table), ["a"]);
    table.set_connected(true);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(names(&table), ["a"], "it has its usual time to announce itself again");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(names(&table), [""; 0]);
    table.announced(node("b", 0), TTL, by(1, 2));
    table.set_connected(false);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(names(&table), [""; 0], "the grace period is bounded");
}

#[tokio::test(start_paused = true)]
async fn messages_of_this_process_have_growing_stamps_and_take_effect_in_any_case() {
    let table = table();
    let first = table.announce(node("a", 0), TTL);
    let second = table.announce(node("b", 0), TTL);
    assert_eq!((first, second, table.stamp()), (by(100, 1), by(100, 2), by(100, 3)));
    table.announced(node("c", 0), TTL, by(1, 1));
    assert_eq!(table.leave(&id("c")), by(100, 4));
    assert_eq!(table.leave(&id("a")), by(100, 5));
    assert_eq!(names(&table), ["b", "c"], "c belongs to another process");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_reports_expiry_on_time_and_ends_with_the_table() {
    let table = table();
    table.announce(node("a", 0), TTL);
    let mut watch = table.watch();
    assert_eq!(watch.next().await, Some(PresenceChange::Present(node("a", 0))));
    assert!(watch.next().now_or_never().is_none());
    let start = Instant::now();
    assert_eq!(watch.next().await, Some(PresenceChange::Absent(id("a"))));
    let elapsed = start.elapsed();
    assert!(elapsed >= TTL && elapsed < TTL + Duration::from_millis(5), "{elapsed:?}");
    // Changes that cancel out before the watcher reads them are not reported.
    table.announce(node("b", 0), TTL);
    table.leave(&id("b"));
    table.announce(node("c", 1), TTL);
    table.announce(node("c", 2), TTL);
    assert_eq!(watch.next().await, Some(PresenceChange::Present(node("c", 2))));
    drop(table);
    assert_eq!(watch.next().await, None);
}
