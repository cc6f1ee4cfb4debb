//! Random requests: no request makes the server fail, and every answer that is not a success is a problem.

use crate::support::{CAT, Server, guest, wat};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

fn path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "v1",
        "functions",
        "f",
        "f@1",
        "f:live",
        "invoke",
        "versions",
        "aliases",
        "jobs",
        "objects",
        "invocations",
        "result",
        "results",
        "events",
        "logs",
        "tasks",
        "tokens",
        "nodes",
        "usage",
        "default",
        "hello",
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "%00",
        "%ff",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "0",
        "-1",
        "18446744073709551616",
        "schemas",
        "job",
        "whoami",
        "metrics",
    ]);
    let segment = prop_oneof![6 => known.prop_map(str::to_owned), 1 => "[!-~&&[^ ?#]]{0,20}"];
    let query = prop_oneof![
        Just(String::new()),
        "\\?[a-z_]{1,8}=[!-~&&[^ #]]{0,20}",
        prop::sample::select(vec![
            "?limit=0",
            "?limit=-1",
            "?cursor=%00",
            "?wait=x",
            "?q=%22*",
            "?q='--",
            "?state=,,",
            "?delimiter=/",
            "?prefix=%ff",
            "?line=18446744073709551615&lines=18446744073709551615",
            "?params=%7B%7D",
            "?mode=async",
            "?sample=NaN",
            "?tag=",
        ])
        .prop_map(str::to_owned),
    ];
    (prop::collection::vec(segment, 1..6), query)
        .prop_map(|(segments, query)| format!("/{}{query}", segments.join("/")))
}

fn header() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "range",
        "if-match",
        "if-none-match",
        "if-range",
        "if-modified-since",
        "idempotency-key",
        "fabric-params",
        "fabric-tenant",
        "content-type",
        "accept",
        "last-event-id",
        "expect",
        "te",
        "connection",
        "x-anything",
        "content-encoding",
    ]);
    let value = prop_oneof![
        "[ -~]{0,30}",
        prop::sample::select(vec![
            "bytes=0-",
            "bytes=-1",
            "bytes=9-1",
            "*",
            "\"x\"",
            "application/json",
            "multipart/form-data; boundary=x",
            "{}",
            "[",
            "application/yaml",
            "default",
            "other",
            "18446744073709551615",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "close, x-anything",
        ])
        .prop_map(str::to_owned),
    ];
    // 100-continue would make the client wait.
    (name, value)
        .prop_filter("expect", |(n, v)| *n != "expect" || v.is_empty())
        .prop_map(|(n, v)| format!("{n}: {v}\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_header_makes_the_server_fail() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    server.deploy("hello", guest("http-hello"), json!({ "function": { "public": true } })).await.is(201);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]);
    let body = prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..100), Just(b"{\"a\":".to_vec())];
    let request = (method, path(), prop::collection::vec(header(), 0..4), any::<bool>(), body);
    let runtime = tokio::runtime::Handle::current();
    let server = &server;
    tokio::task::block_in_place(|| {
        let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
        let ran = TestRunner::new(config).run(&request, |(method, path, headers, known, body)| {
            let token = if known { format!("authorization: Bearer {}\r\n", server.admin) } else { String::new() };
            let mut bytes = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}{}content-length: {}\r\n\r\n",
                headers.concat(),
                body.len()
            )
            .into_bytes();
            bytes.extend_from_slice(&body);
            let answer = runtime.block_on(server.raw(&bytes));
            let status: u16 = answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
            prop_assert!((200..500).contains(&status), "{answer}");
            let (head, _) = answer.split_once("\r\n\r\n").unwrap();
            // A message that is not HTTP is refused by the connection itself, without a body.
            let spoken = head.contains("fabric-request-id: ");
            prop_assert!(spoken || status == 400, "{answer}");
            if status >= 400 && spoken {
                prop_assert!(head.contains("content-type: application/problem+json"), "{answer}");
            }
            Ok(())
        });
        ran.unwrap_or_else(|e| panic!("{e}"));
    });
    server.get("/readyz").await.is(200);
}
