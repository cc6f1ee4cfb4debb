//! Activity records, from the process that created them to an index elsewhere.

use fabric_index::{
    Index, InvocationFilter, LogFilter, Outbox, RecordBatch, RecordSink, StreamRecord, activity_records,
};
use fabric_types::{
    Cost,
    id::{FunctionName, InvocationId, NodeId, TenantId},
    rest::{
        invocation::{Invocation, LogLine, LogSource},
        node::UsageLine,
    },
};
use futures::{FutureExt as _, StreamExt as _};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

fn tenant() -> TenantId {
    TenantId::new("a").unwrap()
}

fn hello() -> FunctionName {
    FunctionName::new("hello").unwrap()
}

fn line(message: &str) -> LogLine {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    LogLine {
        at_ms: u64::try_from(now).unwrap(),
        invocation_id: InvocationId::from_parts(1, 0),
        function: hello(),
        task: None,
        source: LogSource::Log,
        level: "info".to_owned(),
        message: message.to_owned(),
    }
}

fn invocation(n: u64) -> Invocation {
    serde_json::from_value(serde_json::json!({
        "id": InvocationId::from_parts(n, 0), "function": "hello", "version": 1, "state": "succeeded", "created_ms": n,
        "fuel": 1, "cached": false,
    }))
    .unwrap()
}

fn spent(fuel: u64) -> UsageLine {
    UsageLine { invocations: 1, cost: Cost { fuel, ..Cost::default() }, ..UsageLine::default() }
}

fn arrived(stream: &str, seq: u64, batch: &RecordBatch) -> StreamRecord {
    StreamRecord { stream: stream.to_owned(), seq, batch: batch.clone() }
}

/// Returns the messages, the number of invocations, and the fuel in the index.
async fn what_is_there(index: &Index) -> (Vec<String>, usize, u64) {
    let lines = index.logs(&tenant(), &LogFilter::default(), None, 100).await.unwrap().items;
    let calls = index.invocations(&tenant(), &InvocationFilter::default(), None, 100).await.unwrap().items;
    let fuel = index.usage(&tenant(), 0..u32::MAX).await.unwrap().iter().map(|line| line.cost.fuel).sum();
    (lines.into_iter().map(|line| line.message).collect(), calls.len(), fuel)
}

#[tokio::test]
async fn what_one_process_notes_another_takes_once() {
    let outbox = Arc::new(Outbox::default());
    let stream = activity_records::stream(&NodeId::new("n1").unwrap(), 1_795_000_000_000);
    assert_eq!((stream.as_str(), activity_records::day_of(&stream)), ("sys/notes/n1/020775", Some(20_775)));
    assert_eq!(activity_records::day_of("sys/notes/n1"), None);
    let notes = RecordSink::Outbox(Arc::clone(&outbox));
    assert!(outbox.take().is_empty());
    assert!(outbox.ready().now_or_never().is_none());
    notes.log(tenant(), line("one"));
    notes.log(tenant(), line("two"));
    notes.add_usage(&tenant(), &hello(), &spent(3));
    notes.add_usage(&tenant(), &hello(), &spent(4));
    notes.put_invocations(vec![(tenant(), invocation(1))]).await.unwrap();
    outbox.ready().now_or_never().expect("there is something");
    let sent = outbox.take();
    assert_eq!((sent.len(), sent[0].usage.len()), (1, 1));
    assert!(outbox.take().is_empty());

    // As serialized for transport.
    let batch: RecordBatch = serde_json::from_slice(&serde_json::to_vec(&sent[0]).unwrap()).unwrap();
    assert_eq!(batch, sent[0]);

    let index = Index::in_memory().unwrap();
    let (_, mut follow) = index.follow(&tenant(), LogFilter::default(), None).await.unwrap();
    let there = (vec!["one".to_owned(), "two".to_owned()], 1, 7);
    for _ in 0..2 {
        index.take(vec![arrived("n1", 0, &batch)]).await.unwrap();
        assert_eq!(what_is_there(&index).await, there);
    }
    assert_eq!(follow.next().await.unwrap().unwrap().1.message, "one");
    let more = RecordBatch { usage: vec![(tenant(), 20_787, hello(), spent(5))], ..RecordBatch::default() };
    index.take(vec![arrived("n1", 0, &batch), arrived("n1", 1, &more), arrived("n2", 0, &more)]).await.unwrap();
    assert_eq!(what_is_there(&index).await, (there.0, 1, 17));
    let read = index.read_of_streams().await.unwrap();
    assert_eq!((read.len(), read["n1"], read["n2"]), (2, 2, 1));

    // Another process continues from these totals, independent of its own earlier count.
    let totals = index.totals().await.unwrap();
    let other = Index::in_memory().unwrap();
    other.take(vec![arrived("n1", 0, &batch), arrived("gone", 0, &batch)]).await.unwrap();
    other.replace_totals(totals.clone()).await.unwrap();
    assert_eq!(other.totals().await.unwrap(), totals);
    other.take(vec![arrived("n1", 1, &more), arrived("n2", 1, &more)]).await.unwrap();
    assert_eq!(what_is_there(&other).await.2, 22);

    index.forget_streams(vec!["n1".to_owned()]).await.unwrap();
    assert_eq!(index.read_of_streams().await.unwrap().into_keys().collect::<Vec<_>>(), ["n2"]);
}

#[tokio::test]
async fn an_index_that_was_lost_is_filled_again_and_its_usage_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let batch = RecordBatch {
        lines: vec![(tenant(), line("kept"))],
        usage: vec![(tenant(), 20_787, hello(), spent(3))],
        ..RecordBatch::default()
    };
    let index = Index::open(&path).unwrap();
    index.take(vec![arrived("n1", 0, &batch)]).await.unwrap();
    drop(index);
    std::fs::write(&path, "no database at all").unwrap();
    let index = Index::open(&path).unwrap();
    assert!(index.is_fresh());
    assert_eq!(what_is_there(&index).await, (vec![], 0, 3));
    assert!(index.read_of_streams().await.unwrap().is_empty(), "so that it is read again");
    index.take(vec![arrived("n1", 0, &batch)]).await.unwrap();
    assert_eq!(what_is_there(&index).await, (vec!["kept".to_owned()], 0, 3));
}

#[tokio::test]
async fn a_flood_goes_in_parts_and_says_what_it_lost() {
    let outbox = Arc::new(Outbox::default());
    let notes = RecordSink::Outbox(Arc::clone(&outbox));
    for _ in 0..20_000 {
        notes.log(tenant(), line(&"x".repeat(100)));
    }
    let calls = (0..12_000).map(|n| (tenant(), invocation(n))).collect();
    notes.put_invocations(calls).await.unwrap();
    let parts = outbox.take();
    assert!(parts.len() > 10 && parts.iter().all(|part| part.lines.len() + part.invocations.len() <= 2_000));
    let lines: Vec<_> = parts.iter().flat_map(|part| &part.lines).collect();
    assert_eq!(lines.len(), 16_384 + 1);
    assert!(lines.last().unwrap().1.message.starts_with("3616 lines dropped"));
    assert_eq!(parts.iter().map(|part| part.invocations.len()).sum::<usize>(), 10_000);
}
