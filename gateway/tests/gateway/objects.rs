//! Objects: whole, in parts, conditional, streamed.

use crate::support::{Server, send};
use futures::StreamExt as _;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_written_read_and_removed() {
    let server = Server::start().await;
    let at = "/v1/objects/a/b%20c.txt";
    let made = send(server.ask("PUT", at).body("hello world")).await.is(201);
    assert_eq!((&made.json()["path"], &made.json()["size"]), (&json!("a/b c.txt"), &json!(11)));
    let read = server.get(at).await.is(200);
    assert_eq!(read.text(), "hello world");
    assert_eq!(read.header("etag"), made.header("etag"));
    assert_eq!(read.header("content-disposition"), Some("attachment"));
    assert!(read.header("last-modified").unwrap().ends_with(" GMT"));
    let head = send(server.ask("HEAD", at)).await.is(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("11"), 0));
    assert_eq!(head.header("etag"), read.header("etag"));
    send(server.ask("PUT", at).body("")).await.is(200);
    assert_eq!(server.get(at).await.is(200).body.len(), 0);
    send(server.ask("DELETE", at)).await.is(204);
    server.get(at).await.problem("not-found");
    assert_eq!(send(server.ask("HEAD", at)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_those_of_the_standard() {
    let server = Server::start().await;
    let at = "/v1/objects/o";
    let made = send(server.ask("PUT", at).body("0123456789")).await.is(201);
    let etag = made.header("etag").unwrap().to_owned();
    let range = |value: &'static str| send(server.ask("GET", at).header("range", value));
    for (asked, text, given) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=5-100", "56789", "bytes 5-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = range(asked).await.is(206);
        assert_eq!((answer.text().as_str(), answer.header("content-range")), (text, Some(given)), "{asked}");
    }
    for ignored in ["bytes=4-2", "lines=1-2", "bytes=0-1,3-4", "rubbish", "bytes=-"] {
        assert_eq!(range(ignored).await.is(200).text(), "0123456789", "{ignored}");
    }
    for outside in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let answer = range(outside).await;
        answer.problem("range-not-satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */10"), "{outside}");
    }
    let with = |etag: &str| send(server.ask("GET", at).header("range", "bytes=0-0").header("if-range", etag));
    with(&etag).await.is(206);
    with("\"another\"").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_hold_or_the_request_does_nothing() {
    let server = Server::start().await;
    let at = "/v1/objects/o";
    let put = |name: &'static str, value: &str| send(server.ask("PUT", at).header(name, value).body("x"));
    put("if-match", "*").await.problem("precondition-failed");
    let made = put("if-none-match", "*").await.is(201);
    put("if-none-match", "*").await.problem("precondition-failed");
    put("if-none-match", "\"x\"").await.problem("bad-request");
    let old = made.header("etag").unwrap().to_owned();
    let new = put("if-match", &old).await.is(200).header("etag").unwrap().to_owned();
    put("if-match", &old).await.problem("precondition-failed");
    let get = |name: &'static str, value: &str| send(server.ask("GET", at).header(name, value));
    assert!(get("if-none-match", &new).await.is(304).body.is_empty());
    get("if-none-match", "*").await.is(304);
    get("if-none-match", &format!("\"a\", W/{new}")).await.is(304);
    get("if-none-match", &old).await.is(200);
    get("if-match", &new).await.is(200);
    get("if-match", &old).await.problem("precondition-failed");
    get("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT").await.is(304);
    get("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT").await.is(200);
    get("if-modified-since", "rubbish").await.is(200);
    let at_once = futures::future::join_all(
        (0..8).map(|_| send(server.ask("PUT", "/v1/objects/once").header("if-none-match", "*").body("x"))),
    )
    .await;
    assert_eq!(at_once.iter().filter(|a| a.status == 201).count(), 1);
    assert_eq!(at_once.iter().filter(|a| a.status == 412).count(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_streams_both_ways() {
    let server = Server::start().await;
    let pieces: Vec<bytes::Bytes> = (0..300u32).map(|n| vec![n as u8; 50_000].into()).collect();
    let whole = pieces.concat();
    let body = futures::stream::iter(pieces).map(Ok::<_, std::io::Error>);
    let made = send(server.ask("PUT", "/v1/objects/big").body(reqwest::Body::wrap_stream(body))).await.is(201);
    assert_eq!(made.json()["size"], whole.len());
    let read = server.get("/v1/objects/big").await.is(200);
    assert!(read.body == whole);
    let tail = send(server.ask("GET", "/v1/objects/big").header("range", "bytes=14000000-")).await.is(206);
    assert!(tail.body == whole[14_000_000..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_upload_leaves_nothing() {
    let server = Server::start().await;
    let head = format!(
        "PUT /v1/objects/half HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\nabc",
        server.admin
    );
    let answer = server.cut_off(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad-request"), "{answer}");
    server.get("/v1/objects/half").await.problem("not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_it_is_replaced_gets_one_version_whole() {
    let server = Server::start().await;
    send(server.ask("PUT", "/v1/objects/o").body(vec![0; 100_000])).await.is(201);
    let writer = async {
        for n in 1..40u8 {
            send(server.ask("PUT", "/v1/objects/o").body(vec![n; 100_000])).await.is(200);
        }
    };
    let reader = async {
        for _ in 0..60 {
            let body = server.get("/v1/objects/o").await.is(200).body;
            assert_eq!(body.len(), 100_000);
            assert!(body.iter().all(|b| *b == body[0]), "a mixture of two versions");
        }
    };
    futures::join!(writer, reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_folders_where_asked_and_go_on() {
    let server = Server::start().await;
    for path in ["a", "b/1", "b/2", "b/c/3", "d/4", "e"] {
        send(server.ask("PUT", &format!("/v1/objects/{path}")).body("x")).await.is(201);
    }
    let list = async |query: &str| {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/objects?limit=2&{query}{cursor}")).await.is(200).json();
            all.extend(page["items"].as_array().unwrap().iter().map(|o| o["path"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", next.replace('/', "%2F")),
                None => return all,
            }
        }
    };
    assert_eq!(list("").await, ["a", "b/1", "b/2", "b/c/3", "d/4", "e"]);
    assert_eq!(list("prefix=b/").await, ["b/1", "b/2", "b/c/3"]);
    assert_eq!(list("delimiter=/").await, ["a", "b/", "d/", "e"]);
    assert_eq!(list("prefix=b/&delimiter=/").await, ["b/1", "b/2", "b/c/"]);
    server.get("/v1/objects?delimiter=x").await.problem("bad-request");
    server.get("/v1/objects?prefix=../").await.problem("invalid-path");
}
