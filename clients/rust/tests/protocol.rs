//! Failures on the wire: retries, reconnects and problem documents. The server here is a script of raw responses,
//! because a real server can't be made to fail at a given byte. Tests of the gateway cover the routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fabric_client::{Client, Error, GetOptions, Options, Upload};
use fabric_types::Code;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// Starts a server that sends each text to one connection in turn and records the requests.
async fn scripted(answers: Vec<String>) -> (Client, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let task = tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let n = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let len =
                    head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
                if body.len() >= len || n == 0 {
                    break;
                }
            }
            log.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    (Client::new(Options::new(url).token("s3cret").tenant("acme")).unwrap(), seen, task)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn problem(status: u16, code: Code) -> String {
    let body = format!(
        r#"{{"type":"urn:fabric:error:{code}","title":"t","status":{status},"detail":"why","code":"{code}","hint":"do this"}}"#
    );
    answer(&format!("{status} X"), "application/problem+json", &body)
}

const IDENTITY: &str = r#"{"name":"n","tenant":"acme","role":"developer"}"#;

fn header(request: &str, name: &str) -> Option<String> {
    request.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")).map(ToOwned::to_owned))
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let answers = vec![problem(503, Code::Unavailable), answer("200 OK", "application/json", IDENTITY)];
    let (client, seen, task) = scripted(answers).await;
    assert_eq!(client.whoami().await.unwrap().name, "n");
    task.await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(header(&seen[0], "authorization").unwrap(), "Bearer s3cret");
    assert_eq!(header(&seen[0], "fabric-tenant").unwrap(), "acme");
}

#[tokio::test]
async fn a_repeated_post_carries_the_same_key() {
    let done = answer("200 OK", "application/json", r#"{"name":"live","targets":[],"updated_ms":1}"#);
    let (client, seen, task) = scripted(vec![problem(503, Code::StoreUnavailable), done]).await;
    client.rollback("f", None).await.unwrap();
    task.await.unwrap();
    let seen = seen.lock().unwrap();
    let keys: Vec<_> = seen.iter().map(|r| header(r, "idempotency-key").unwrap()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1] && keys[0].len() == 32, "{keys:?}");
}

#[tokio::test]
async fn a_streamed_upload_and_a_failed_guest_are_not_sent_twice() {
    let (client, seen, task) = scripted(vec![problem(503, Code::Unavailable)]).await;
    let error = client.put("a/b c", Upload::from(bytes::Bytes::from("xyz")), &Default::default()).await.unwrap_err();
    assert_eq!((error.code(), error.hint().as_deref()), (Code::Unavailable, Some("do this")));
    task.await.unwrap();
    assert!(seen.lock().unwrap()[0].starts_with("PUT /v1/objects/a/b%20c HTTP/1.1"));
    let (client, seen, task) = scripted(vec![problem(503, Code::FunctionRetryable)]).await;
    assert_eq!(client.whoami().await.unwrap_err().code(), Code::FunctionRetryable);
    task.await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

fn event(seq: u64, kind: &str, state: &str) -> String {
    let tasks = r#"{"total":2,"waiting":0,"running":0,"succeeded":1,"cached":0,"failed":0,"retries":0}"#;
    let cost = r#"{"fuel":1,"guest_us":1,"bytes_in":1,"bytes_out":1}"#;
    format!(
        "event: {kind}\nid: {seq}\ndata: {{\"seq\":{seq},\"at_ms\":1,\"kind\":\"{kind}\",\"state\":\"{state}\",\"remark\":\"\",\"tasks\":{tasks},\"cost\":{cost}}}\n\n"
    )
}

#[tokio::test]
async fn events_go_on_where_the_connection_broke() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n";
    let first = format!(
        "{head}{}{}event: progress\nid: 3\ndata: cut of",
        event(1, "started", "running"),
        event(2, "progress", "running")
    );
    let second = format!("{head}{}{}", event(3, "progress", "running"), event(4, "succeeded", "succeeded"));
    let (client, seen, task) = scripted(vec![first, second]).await;
    let mut events = client.job_events("01ARZ3NDEKTSV4RRFFQ69G5FAV", None);
    let mut seqs = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        seqs.push(event.seq);
    }
    assert_eq!(seqs, [1, 2, 3, 4]);
    task.await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!((header(&seen[0], "last-event-id"), header(&seen[1], "last-event-id")), (None, Some("2".to_owned())));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_never_a_short_result() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_owned();
    let (client, _, task) = scripted(vec![cut]).await;
    let body = client.get("a", &GetOptions::default()).await.unwrap();
    let mut sink = Vec::new();
    assert!(matches!(body.copy_to(&mut sink, |_| {}).await, Err(Error::Interrupted(_))));
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_no_fabric_server_is_said_so() {
    let (client, _, task) = scripted(vec![answer("200 OK", "text/html", "<html>hi</html>")]).await;
    assert!(matches!(client.whoami().await, Err(Error::Protocol { .. })));
    task.await.unwrap();
    let (client, _, task) = scripted(vec![answer("404 Not Found", "text/html", "<html>hi</html>")]).await;
    let error = client.whoami().await.unwrap_err();
    assert!(error.is_not_found() && !error.to_string().contains('<'), "{error}");
    task.await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_unreachable_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(Options::new(url)).unwrap().whoami().await.unwrap_err();
    assert_eq!((error.code(), error.exit() as u8), (Code::Unreachable, 7));
    assert_eq!(error.hint().as_deref(), Some("start one: fabric serve"));
}

#[tokio::test]
async fn paths_and_addresses_that_mean_something_else_are_refused() {
    let client = Client::new(Options::new("http://127.0.0.1:1")).unwrap();
    for path in
        ["../functions/f", "a/../../tokens", "a/./b", "/a", "", "dir/a\tb", "a\nb", "a\\b", "a//b", "a/", "a\u{85}"]
    {
        assert_eq!(client.delete_object(path).await.unwrap_err().code(), Code::InvalidPath, "{path}");
    }
    for url in ["", "127.0.0.1:8080", "ftp://x", "http://u:p@x", "file:///etc"] {
        assert!(Client::new(Options::new(url)).is_err(), "{url}");
    }
    assert!(!format!("{:?}", Options::new("http://x").token("s3cret")).contains("s3cret"));
}
