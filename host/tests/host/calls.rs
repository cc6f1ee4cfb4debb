//! Tests of every entry kind, with the guests of `examples/` and with preview 1 commands in text format.

use crate::support::*;
use bytes::Bytes;
use fabric_host::{HttpCall, MemoryLog, TaskCall, TaskStage, keyed, source::MemorySource};
use fabric_types::{Code, function::EntryKind, limits::Limits};
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;

const TEXT: &str = "the cat and the hat\nthe end\n";

async fn wordcount(sandbox: &Sandbox) -> Arc<fabric_host::Loaded> {
    sandbox.load(&guest("wordcount")).await
}

#[tokio::test]
async fn a_task_component_maps_and_reduces() {
    let sandbox = sandbox();
    let inspected = sandbox.host.inspect_and_compile(&acme(), guest("wordcount")).await.unwrap();
    assert_eq!(inspected.entry.kind, EntryKind::Task);
    assert!(inspected.entry.mapper && inspected.entry.reducer && !inspected.entry.handler);
    assert!(inspected.describe.is_some(), "{:?}", inspected.warnings);
    let loaded = wordcount(&sandbox).await;
    let one = sandbox.map(&loaded, TEXT, Limits::default()).await;
    let two = sandbox.map(&loaded, "the cat", Limits::default()).await;
    assert_eq!(one.cost.bytes_in, TEXT.len() as u64);
    let parts = [text(&one), text(&two)].map(|t| ("partial".into(), Bytes::from(t)));
    let merged = sandbox.host.run_task(&loaded, TaskCall::new(TaskStage::Reduce, MemorySource::parts(parts))).await;
    let merged: serde_json::Value = serde_json::from_str(&text(&merged)).unwrap();
    assert_eq!(merged["total"], 9);
    assert_eq!(merged["words"]["the"], 4);
    assert_eq!(merged["words"]["cat"], 2);
}

#[tokio::test]
async fn a_shuffle_groups_words_by_key() {
    let sandbox = sandbox();
    let loaded = wordcount(&sandbox).await;
    let mut blocks = Vec::new();
    for input in [TEXT, "the cat"] {
        let mut call = TaskCall::new(TaskStage::Map, MemorySource::one("input", input));
        call.params = r#"{"emit":true}"#.into();
        call.buckets = 3;
        let output = sandbox.host.run_task(&loaded, call).await.result.unwrap();
        assert_eq!(output.buckets.len(), 4);
        blocks.push(output.bytes);
    }
    let mut seen = String::new();
    for bucket in 0..3 {
        let runs = blocks.iter().map(|block| {
            let range = keyed::bucket_range(block, bucket).unwrap();
            block.slice(range.start as usize..range.end as usize)
        });
        let merge = keyed::merge(runs.collect()).unwrap();
        let mut call = TaskCall::new(TaskStage::Reduce, merge);
        call.params = r#"{"emit":true}"#.into();
        seen += &text(&sandbox.host.run_task(&loaded, call).await);
    }
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.contains(&r#"{"key":"the","value":4}"#), "{lines:?}");
    assert!(lines.contains(&r#"{"key":"cat","value":2}"#), "{lines:?}");
}

#[tokio::test]
async fn a_handler_answers_and_a_missing_export_is_named() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("noop")).await;
    let stage = TaskStage::Handler { body: "abc".into(), content_type: None };
    let report = sandbox.host.run_task(&loaded, TaskCall::new(stage, fabric_host::source::EmptySource)).await;
    assert_eq!(text(&report), "abc");
    assert!(report.cost.fuel > 0 && report.cost.fuel < 10_000_000, "{}", report.cost.fuel);
    let fault = sandbox
        .host
        .run_task(&loaded, TaskCall::new(TaskStage::Reduce, MemorySource::default()))
        .await
        .result
        .unwrap_err();
    assert_eq!(fault.code, Code::NoEntry);
    assert!(fault.message.contains("reducer"));
}

#[tokio::test]
async fn wrong_parameters_are_the_callers_fault() {
    let sandbox = sandbox();
    let loaded = wordcount(&sandbox).await;
    let mut call = TaskCall::new(TaskStage::Map, MemorySource::one("input", TEXT));
    call.params = r#"{"no_such":1}"#.into();
    let fault = sandbox.host.run_task(&loaded, call).await.result.unwrap_err();
    assert_eq!(fault.code, Code::InvalidInput, "{fault:?}");
}

async fn get(sandbox: &Sandbox, loaded: &fabric_host::Loaded, target: &str) -> (u16, String) {
    let request = http::Request::get(target).header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap();
    let response = sandbox.host.handle_http(loaded, request, HttpCall::new(Limits::default())).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_http_component_serves_requests() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("http-hello")).await;
    assert_eq!(loaded.deployment().entry.kind, EntryKind::Http);
    let (status, body) = get(&sandbox, &loaded, "/a?b=c").await;
    assert_eq!(status, 200);
    assert_eq!(body, "Hello from Fabric!\npath: /a\nquery: b=c\n");
    // The response is longer than the channel to the body, so the guest continues while the body is read.
    let long = format!("/{}", "x".repeat(50_000));
    let (_, body) = get(&sandbox, &loaded, &long).await;
    assert_eq!(body.len(), "Hello from Fabric!\npath: \nquery: \n".len() + long.len());
    assert_eq!(sandbox.host.stats().live, 0);
}

#[tokio::test]
async fn a_response_that_nobody_reads_ends_its_guest_and_is_reported() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("http-hello")).await;
    let long = format!("/{}", "x".repeat(50_000));
    let request = http::Request::get(long).header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap();
    let (send, receive) = tokio::sync::oneshot::channel();
    let mut call = HttpCall::new(Limits::default());
    call.on_complete = Some(Box::new(move |report| drop(send.send(report))));
    let response = sandbox.host.handle_http(&loaded, request, call).await.unwrap();
    assert_eq!(sandbox.host.stats().live, 1);
    drop(response);
    assert_eq!(sandbox.host.stats().live, 0);
    let report = receive.await.unwrap();
    assert_eq!(report.result.unwrap_err().code, Code::Cancelled);
    assert!(report.cost.fuel > 1000, "what ran is known: {}", report.cost.fuel);
}

#[tokio::test]
async fn a_guest_goes_on_to_its_end_when_its_response_has_no_body_to_send() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("http-hello")).await;
    let long = format!("/{}", "x".repeat(50_000));
    let request = http::Request::head(long).header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap();
    let (send, receive) = tokio::sync::oneshot::channel();
    let mut call = HttpCall::new(Limits::default());
    call.on_complete = Some(Box::new(move |report| drop(send.send(report))));
    let response = sandbox.host.handle_http(&loaded, request, call).await.unwrap();
    assert!(http_body::Body::is_end_stream(response.body()), "nothing is sent");
    drop(response);
    let report = receive.await.unwrap();
    assert_eq!(report.result, Ok(()));
    assert!(report.cost.fuel > 1000, "{}", report.cost.fuel);
}

#[tokio::test]
async fn an_http_guest_out_of_fuel_gives_a_fault() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("http-hello")).await;
    let request = http::Request::get("/").header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap();
    let limits = Limits { fuel: 100, ..Limits::default() };
    let fault = sandbox.host.handle_http(&loaded, request, HttpCall::new(limits)).await.err().unwrap();
    assert_eq!(fault.code, Code::OutOfFuel);
}

/// A command that copies standard input to standard output.
const CAT: &str = r#"(func (export "_start")
    (loop $l
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.load (i32.const 16)) (then
        (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 16)))
        (br $l)))))"#;

#[tokio::test]
async fn a_preview_1_command_is_a_filter() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&wat(&command(CAT))).await;
    let input: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let report = sandbox.map(&loaded, input.clone(), Limits::default()).await;
    assert_eq!(report.result.unwrap().bytes, input);
    assert_eq!(report.cost.bytes_in, 4_000_000);
    // Partials arrive one after the other. A request's body arrives on standard input too.
    let parts = MemorySource::parts([("a".into(), "one ".into()), ("b".into(), "".into()), ("c".into(), "two".into())]);
    assert_eq!(text(&sandbox.host.run_task(&loaded, TaskCall::new(TaskStage::Reduce, parts)).await), "one two");
    let stage = TaskStage::Handler { body: "body".into(), content_type: None };
    assert_eq!(text(&sandbox.host.run_task(&loaded, TaskCall::new(stage, MemorySource::default())).await), "body");
}

#[tokio::test]
async fn a_command_shuffles_as_hadoop_streaming_does() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&wat(&command(CAT))).await;
    let mut call = TaskCall::new(TaskStage::Map, MemorySource::one("input", "b\t1\na\t2\nb\t3\n"));
    call.buckets = 1;
    let block = sandbox.host.run_task(&loaded, call).await.result.unwrap();
    let merge = keyed::merge(vec![block.bytes.slice(block.buckets[0] as usize..)]).unwrap();
    let report = sandbox.host.run_task(&loaded, TaskCall::new(TaskStage::Reduce, merge)).await;
    assert_eq!(text(&report), "a\t2\nb\t1\nb\t3\n");
}

#[tokio::test]
async fn a_c_filter_runs_unchanged() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("csv-clean")).await;
    assert_eq!(loaded.deployment().entry.kind, EntryKind::Command);
    let report = sandbox.map(&loaded, "a,b\n1, 2 \n", Limits::default()).await;
    assert!(text(&report).starts_with("a,b\n"), "{report:?}");
}

#[tokio::test]
async fn standard_error_becomes_log_lines() {
    let sandbox = sandbox();
    let body = r#"(data (i32.const 1024) "first\nsecond") (func (export "_start") (call $write (i32.const 2) (i32.const 1024) (i32.const 12)) unreachable)"#;
    let loaded = sandbox.load(&wat(&command(body))).await;
    let log = Arc::new(MemoryLog::default());
    let mut call = TaskCall::new(TaskStage::Map, MemorySource::default());
    call.logs = Some(log.clone());
    let report = sandbox.host.run_task(&loaded, call).await;
    assert_eq!(log.lines().iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(report.log_bytes, 12);
    // The fault contains the last lines of standard error.
    assert_eq!(report.result.unwrap_err().stderr, ["first", "second"]);
}

#[tokio::test]
async fn the_deadline_of_a_guest_ends_it_though_nobody_reads_its_response() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&guest("http-hello")).await;
    let long = format!("/{}", "x".repeat(50_000));
    let request = http::Request::get(long).header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap();
    let (send, receive) = tokio::sync::oneshot::channel();
    let mut call = HttpCall::new(Limits { deadline_ms: 100, ..Limits::default() });
    call.on_complete = Some(Box::new(move |report| drop(send.send(report))));
    let response = sandbox.host.handle_http(&loaded, request, call).await.unwrap();
    assert_eq!(sandbox.host.stats().live, 1);
    // The body exists, but nobody polls it.
    assert_eq!(receive.await.unwrap().result.unwrap_err().code, Code::Deadline);
    assert_eq!(sandbox.host.stats().live, 0, "the slot is free");
    // A late reader gets an error instead of a truncated response.
    let read = response.into_body().collect().await;
    assert_eq!(read.err().unwrap().code, Code::Deadline);
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_slot_for_ever() {
    let sandbox = sandbox_with(|o| {
        o.max_instances = 1;
        o.slot_wait = std::time::Duration::from_millis(50);
    });
    let loaded = sandbox.load(&guest("http-hello")).await;
    let long = || {
        let target = format!("/{}", "x".repeat(50_000));
        http::Request::get(target).header("host", "fabric.test").body(Full::new(Bytes::new())).unwrap()
    };
    let held = sandbox.host.handle_http(&loaded, long(), HttpCall::new(Limits::default())).await.unwrap();
    let reported = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let call = || {
        let reported = reported.clone();
        let on_complete: Box<dyn FnOnce(fabric_host::HttpReport) + Send> =
            Box::new(move |report| reported.lock().unwrap().push(report.result.unwrap_err().code));
        HttpCall { on_complete: Some(on_complete), ..HttpCall::new(Limits::default()) }
    };
    let refused = sandbox.host.handle_http(&loaded, long(), call()).await.err().unwrap();
    assert_eq!(refused.code, Code::Unavailable);
    // A body that is announced as too large is refused without a wait for a slot. Both are reported as what they are.
    let large = http::Request::post("/").header("host", "fabric.test").header("content-length", u64::MAX);
    let large = large.body(Full::new(Bytes::from(vec![0; 64])));
    let limits = Limits { body_bytes: fabric_types::units::ByteSize(8), ..Limits::default() };
    let refused = sandbox.host.handle_http(&loaded, large.unwrap(), HttpCall { limits, ..call() }).await.err().unwrap();
    assert_eq!(refused.code, Code::TooLarge);
    assert_eq!(*reported.lock().unwrap(), [Code::Unavailable, Code::TooLarge]);
    drop(held);
    assert!(sandbox.host.handle_http(&loaded, long(), HttpCall::new(Limits::default())).await.is_ok());
}
