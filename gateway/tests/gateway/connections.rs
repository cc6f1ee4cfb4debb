//! Connections that send nothing, send slowly or do not read, and a server with its maximum of connections.

use crate::support::{Server, guest, send};
use fabric_gateway::Options;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// Only a failure takes this long.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);
/// Longer than any test: a timer that must not be the one that fires.
const LONG: Duration = Duration::from_secs(600);

/// Returns options with long timers.
fn patient() -> Options {
    Options {
        first_byte_timeout: LONG,
        header_timeout: LONG,
        idle_timeout: LONG,
        write_stall_timeout: LONG,
        body_idle_timeout: LONG,
        grace: SHORT,
        ..Options::default()
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr).await.unwrap()
}

/// Reads until the server closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, read).await.expect("the server keeps the connection");
    all
}

/// Writes `piece` repeatedly until the server has closed.
async fn drip<S: AsyncRead + AsyncWrite>(stream: S, piece: &[u8]) {
    let (mut read, mut write) = tokio::io::split(stream);
    let dripping = async {
        while write.write_all(piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = rest(&mut read) => {}
        () = dripping => {}
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Encodes the head of a request, with its fields as literals.
fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Opens an HTTP/2 connection and sends its settings.
async fn http2(server: &Server, settings: &[u8]) -> TcpStream {
    let mut stream = connect(server).await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.unwrap();
    stream
}

/// Returns the kinds and streams of the frames in `bytes`.
fn kinds(bytes: &[u8]) -> Vec<(u8, u32)> {
    let (mut at, mut kinds) = (0, Vec::new());
    while let Some(head) = bytes.get(at..at + 9) {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        kinds.push((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])));
        at += 9 + len;
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_says_anything_is_closed() {
    let server = Server::with(Options { first_byte_timeout: SHORT, ..patient() }, |_| {}).await;
    assert!(rest(&mut connect(&server).await).await.is_empty());
    // Too little to detect the protocol.
    let mut half = connect(&server).await;
    half.write_all(b"PRI * HT").await.unwrap();
    assert!(rest(&mut half).await.is_empty());
    send(server.bare("GET", "/healthz")).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_cut_off_however_steadily_it_comes() {
    let server = Server::with(Options { header_timeout: SHORT, ..patient() }, |_| {}).await;
    drip(connect(&server).await, b"G").await;
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    drip(slow, b"x-a: b\r\n").await;
    // Also for the second request of a connection.
    let mut used = connect(&server).await;
    used.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answered = [0; 15];
    used.read_exact(&mut answered).await.unwrap();
    assert_eq!(&answered, b"HTTP/1.1 200 OK");
    used.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    drip(used, b"x-a: b\r\n").await;
    // HTTP/2: nothing after the preface, and then frames other than a request.
    rest(&mut http2(&server, &[]).await).await;
    drip(http2(&server, &[]).await, &frame(PING, 0, 0, &[0; 8])).await;
    drip(http2(&server, &[]).await, &frame(SETTINGS, 0, 0, &[])).await;
    // A head in pieces that does not end.
    let mut pieces = http2(&server, &[]).await;
    pieces.write_all(&frame(HEADERS, 0, 1, &head(&[(":method", "GET")]))).await.unwrap();
    drip(pieces, &frame(9, 0, 1, &head(&[("x-a", "b")]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_one_with_a_request_is_not() {
    let server = Server::with(Options { idle_timeout: SHORT, ..patient() }, |_| {}).await;
    let mut stream = server.ask("GET", "/v1/logs?follow=true").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.ends_with(b"ok\n"));
    let get = head(&[(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]);
    let mut idle = http2(&server, &[]).await;
    idle.write_all(&frame(HEADERS, 5, 1, &get)).await.unwrap();
    assert!(kinds(&rest(&mut idle).await).contains(&(GOAWAY, 0)), "it is told");
    // The stream has outlasted several idle timeouts.
    assert!(tokio::time::timeout(SHORT, stream.chunk()).await.is_err(), "still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_behind_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Some(fabric_gateway::server::tls::load(&cert, &key).unwrap());
    let server = Server::with(Options { tls, header_timeout: SHORT, ..patient() }, |_| {}).await;
    assert!(rest(&mut connect(&server).await).await.is_empty(), "no handshake");
    drip(connect(&server).await, &[22]).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connect(&server).await;
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_or_trickles_is_given_up() {
    let options = Options { body_idle_timeout: SHORT, min_body_rate: 1 << 20, ..patient() };
    let server = Server::with(options, |_| {}).await;
    let put = |name: &str| {
        format!(
            "PUT /v1/objects/{name} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100000\r\n\r\nx",
            server.admin
        )
    };
    let mut stopped = connect(&server).await;
    stopped.write_all(put("stopped").as_bytes()).await.unwrap();
    assert!(rest(&mut stopped).await.starts_with(b"HTTP/1.1 4"));
    let mut slow = connect(&server).await;
    slow.write_all(put("slow").as_bytes()).await.unwrap();
    drip(slow, b"x").await;
    server.get("/v1/objects/slow").await.problem("not-found");
}

/// Far more than the kernel holds between two sockets.
const MUCH: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_refused_before_its_body_has_arrived_is_still_answered() {
    let server = Server::with(patient(), |_| {}).await;
    let mut stream = connect(&server).await;
    let head = format!("POST /v1/jobs HTTP/1.1\r\nhost: fabric.test\r\ncontent-length: {MUCH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A client that reads nothing before it has sent everything.
    stream.write_all(&vec![b' '; MUCH]).await.expect("the server takes the body it does not want");
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("unauthenticated"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answered_before_its_body_has_arrived_is_read_on() {
    let server = Server::with(patient(), |_| {}).await;
    let mut stream = http2(&server, &[]).await;
    let fields = head(&[(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/jobs")]);
    stream.write_all(&frame(HEADERS, 4, 1, &fields)).await.unwrap();
    let mut seen = Vec::new();
    let mut until = async |stream: &mut TcpStream, wanted: (u8, u32)| {
        let waited = async {
            while !kinds(&seen).contains(&wanted) {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "closed: {:?}", kinds(&seen));
            }
            kinds(&seen)
        };
        tokio::time::timeout(TEST_TIMEOUT, waited).await.unwrap_or_else(|_| panic!("{wanted:?} never came"))
    };
    until(&mut stream, (HEADERS, 1)).await;
    // The server's window applies once its settings are acknowledged.
    stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
    // The refusal has arrived, and most of a body is still to be sent.
    for _ in 0..15 {
        stream.write_all(&frame(DATA, 0, 1, &vec![b' '; 16 << 10])).await.unwrap();
    }
    until(&mut stream, (WINDOW_UPDATE, 1)).await;
    stream.write_all(&frame(DATA, 1, 1, b"}")).await.unwrap();
    stream.write_all(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
    let all = until(&mut stream, (PING, 0)).await;
    assert!(!all.contains(&(RST_STREAM, 1)), "{all:?}");
}

/// Waits until the server has at most `wanted` connections, without the one that asks.
async fn until_connections(server: &Server, wanted: usize) {
    let look = async {
        loop {
            // A full server may refuse this request too.
            let Ok(answer) = server.bare("GET", "/metrics").header("connection", "close").send().await else {
                continue;
            };
            let metrics = answer.text().await.unwrap_or_default();
            let Some(line) = metrics.lines().find(|l| l.starts_with("fabric_http_connections ")) else { continue };
            if line.rsplit(' ').next().unwrap().parse::<usize>().unwrap() <= wanted + 1 {
                return;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, look).await.expect("connections stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::with(Options { write_stall_timeout: SHORT, idle_timeout: SHORT, ..patient() }, |_| {}).await;
    let large = vec![b'x'; 32 << 20];
    send(server.ask("PUT", "/v1/objects/large").body(large.clone())).await.is(201);
    until_connections(&server, 0).await;
    let mut deaf = connect(&server).await;
    let get = format!("GET /v1/objects/large HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", server.admin);
    deaf.write_all(get.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    deaf.read_exact(&mut first).await.unwrap();
    until_connections(&server, 0).await;
    assert!(rest(&mut deaf).await.len() < large.len(), "it was not sent to the end");
    // Many requests, without reading an answer.
    let mut deaf = connect(&server).await;
    tokio::time::timeout(TEST_TIMEOUT, async { while deaf.write_all(get.as_bytes()).await.is_ok() {} })
        .await
        .expect("the server reads on and on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_window_stays_closed_is_reset_and_others_go_on() {
    let server = Server::with(Options { write_stall_timeout: SHORT, ..patient() }, |_| {}).await;
    server.deploy("hello", guest("http-hello"), json!({ "function": { "public": true } })).await.is(201);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let mut stream = http2(&server, &[0, 4, 0, 0, 0, 0]).await;
    let get = |path: &str| head(&[(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", path)]);
    stream.write_all(&frame(HEADERS, 5, 1, &get("/f/default/hello/x"))).await.unwrap();
    let mut seen = Vec::new();
    let reset = async {
        while !kinds(&seen).contains(&(RST_STREAM, 1)) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "the connection was closed: {:?}", kinds(&seen));
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reset).await.expect("the stream stays open");
    // The connection still works.
    stream.write_all(&frame(HEADERS, 5, 3, &get("/healthz"))).await.unwrap();
    let answered = async {
        while !kinds(&seen).contains(&(HEADERS, 3)) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_for_those_that_speak() {
    let options = Options { max_connections: 16, connections_per_address: Some(0), ..patient() };
    let server = Server::with(options, |_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&server).await);
    }
    for _ in 0..20 {
        send(server.bare("GET", "/healthz").header("connection", "close")).await.is(200);
    }
    // The oldest connection was closed first.
    assert!(rest(&mut silent[0]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_full_of_requests_serves_admins_and_refuses_others_at_once() {
    let options =
        Options { max_connections: 4, connections_per_address: Some(0), reserved_connections: 1, ..patient() };
    let server = Server::with(options, |_| {}).await;
    let (_, developer) = server.token("developer", "acme").await;
    let follow = async |token: &str| {
        let mut stream = connect(&server).await;
        let get = format!("GET /v1/logs?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        (String::from_utf8_lossy(&first).into_owned(), stream)
    };
    let mut busy = Vec::new();
    for _ in 0..4 {
        let (status, stream) = follow(&developer).await;
        assert_eq!(status, "HTTP/1.1 200");
        busy.push(stream);
    }
    for _ in 0..3 {
        send(server.bare("GET", "/healthz").header("connection", "close")).await.is(200);
        send(server.ask("GET", "/v1/nodes").header("connection", "close")).await.is(200);
        let refused = send(server.bare("GET", "/v1/functions").bearer_auth(&developer)).await;
        refused.problem("unavailable");
        assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    }
    // The reserve is taken as well: no connection waits.
    let (status, _reserve) = follow(&server.admin).await;
    assert_eq!(status, "HTTP/1.1 200");
    let told = rest(&mut connect(&server).await).await;
    assert!(String::from_utf8_lossy(&told).starts_with("HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&told));
    drop(busy);
    until_connections(&server, 1).await;
    send(server.bare("GET", "/v1/functions").bearer_auth(&developer)).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_a_share_of_the_connections() {
    let options = Options { connections_per_address: Some(4), reserved_connections: 0, ..patient() };
    let server = Server::with(options, |_| {}).await;
    let mut streams = Vec::new();
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..4 {
        let ask = client().get(format!("http://{}/v1/logs?follow=true", server.addr)).bearer_auth(&server.admin);
        streams.push(ask.send().await.unwrap().error_for_status().unwrap());
    }
    let told = rest(&mut connect(&server).await).await;
    assert!(String::from_utf8_lossy(&told).contains("use fewer connections from one address"));
    drop(streams);
    let look = async { while !rest_of_get(&server).await.ends_with("ok\n") {} };
    tokio::time::timeout(TEST_TIMEOUT, look).await.unwrap();
}

async fn rest_of_get(server: &Server) -> String {
    let mut stream = connect(server).await;
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    String::from_utf8_lossy(&rest(&mut stream).await).into_owned()
}
