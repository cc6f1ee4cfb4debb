//! HTTP between clients and http functions: the parts of a message that arrive on the other side, and the record of
//! each exchange.

use crate::support::{Answer, CAT, Server, form, guest, send, wat};
use fabric_gateway::Options;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// Only a failure takes this long.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
const MIRROR: &str = "/f/default/mirror";

async fn mirror(server: &Server, more: Value) {
    let mut manifest = json!({ "function": { "public": true } });
    if let (Some(into), Some(more)) = (manifest.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
    server.deploy("mirror", guest("http-mirror"), manifest).await.is(201);
}

/// Sends bytes and reads until the server closes.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut all))
        .await
        .expect("the server keeps the connection");
    String::from_utf8_lossy(&all).into_owned()
}

async fn ask(server: &Server, request: &str) -> String {
    exchange(TcpStream::connect(server.addr).await.unwrap(), request).await
}

/// Waits until the tenant's usage counts this many calls, and returns it.
async fn usage(server: &Server, calls: u64) -> Value {
    let look = async {
        loop {
            let usage = server.get("/v1/usage").await.is(200).json();
            if usage["total"]["invocations"].as_u64().unwrap() >= calls {
                return usage["total"].clone();
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, look).await.expect("the call is not recorded")
}

/// Waits until a function has logged this line.
async fn until_line(server: &Server, function: &str, line: &str) {
    let look = async {
        loop {
            let logs = server.get(&format!("/v1/logs?function={function}")).await.is(200).json();
            if logs["items"].as_array().unwrap().iter().any(|found| found["message"] == line) {
                return;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, look).await.expect("the guest does not get that far")
}

/// Spends some fuel, logs a line, and runs until it is stopped.
const BUSY: &str = r#"(module
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1) (data (i32.const 64) "busy\n")
 (func (export "_start") (local $n i32)
  (local.set $n (i32.const 1000000))
  (loop $work (br_if $work (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
  (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
  (loop $ever (br $ever))))"#;

/// Waits for the log line about the end of a call, and returns its level and message.
async fn end_of_call(server: &Server) -> (String, String) {
    let look = async {
        loop {
            let logs = server.get("/v1/logs?function=mirror&limit=1000").await.is(200).json();
            let lines = logs["items"].as_array().unwrap();
            if let Some(line) = lines.iter().find(|line| line["source"] == "system") {
                return (line["level"].as_str().unwrap().to_owned(), line["message"].as_str().unwrap().to_owned());
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, look).await.expect("the log does not say how the call ended")
}

fn h2() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_the_scheme_that_its_caller_used() {
    let plain = Server::start().await;
    mirror(&plain, json!({})).await;
    let shown = "scheme: http\nauthority: fabric.test\ntarget: /a?b\n";
    let one = format!("GET {MIRROR}/a?b HTTP/1.1\r\nhost: fabric.test\r\nconnection: close\r\n\r\n");
    let claimed = format!("GET https://fabric.test{MIRROR}/a?b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for request in [one.clone(), claimed] {
        let answer = ask(&plain, &request).await;
        assert!(answer.contains(shown), "{answer}");
    }
    let two = send(h2().get(format!("http://{}{MIRROR}/a?b", plain.addr)).header("host", plain.addr.to_string())).await;
    assert!(two.text().contains(&format!("scheme: http\nauthority: {}\ntarget: /a?b\n", plain.addr)), "{}", two.text());

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Some(fabric_gateway::server::tls::load(&cert, &key).unwrap());
    let secure = Server::with(Options { tls, ..Default::default() }, |_| {}).await;
    let ca = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let origin = format!("https://localhost:{}", secure.addr.port());
    let form = form("mirror", guest("http-mirror"), json!({ "function": { "public": true } }));
    let deployed = client.post(format!("{origin}/v1/functions")).bearer_auth(&secure.admin).multipart(form);
    send(deployed).await.is(201);
    let two = client.get(format!("{origin}{MIRROR}/a?b")).send().await.unwrap();
    assert_eq!(two.version(), reqwest::Version::HTTP_2);
    let two = two.text().await.unwrap();
    let shown = format!("scheme: https\nauthority: localhost:{}\ntarget: /a?b\n", secure.addr.port());
    assert!(two.contains(&shown), "{two}");
    // A call through the API is the same exchange.
    let invoked = client.post(format!("{origin}/v1/functions/mirror/invoke")).bearer_auth(&secure.admin);
    let invoked = send(invoked.body("x")).await.is(200).text();
    assert!(invoked.contains("scheme: https\n"), "{invoked}");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(secure.addr).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let answer = exchange(stream, &one).await;
    assert!(answer.contains("scheme: https\nauthority: fabric.test\ntarget: /a?b\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_authority_as_the_standards_say() {
    let server = Server::start().await;
    mirror(&server, json!({})).await;
    for (request, authority) in [
        (format!("GET http://a.test:81{MIRROR}/ HTTP/1.1\r\nhost: b.test\r\nconnection: close\r\n\r\n"), "a.test:81"),
        (format!("GET {MIRROR}/ HTTP/1.1\r\nhost: b.test\r\nconnection: close, host\r\n\r\n"), "b.test"),
        (format!("GET {MIRROR}/ HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n"), ""),
        (format!("GET {MIRROR}/ HTTP/1.0\r\n\r\n"), ""),
        (format!("GET http://a.test{MIRROR}/ HTTP/1.0\r\n\r\n"), "a.test"),
    ] {
        let answer = ask(&server, &request).await;
        // A request without a host is for the address at which it arrived.
        let own = server.addr.to_string();
        let authority = if authority.is_empty() { &own } else { authority };
        assert!(answer.contains(&format!("\nauthority: {authority}\ntarget: /\n")), "{request}{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_one_field_for_the_guest() {
    let server = Server::start().await;
    mirror(&server, json!({})).await;
    // HTTP/2 clients send a field for each pair.
    let request = h2().get(format!("http://{}{MIRROR}/", server.addr));
    let crumbs = send(request.header("cookie", "a=1").header("cookie", "b=2; c=3").header("cookie", "d=4")).await;
    assert!(crumbs.text().contains("\ncookie: a=1; b=2; c=3; d=4\n"), "{}", crumbs.text());
    let lines = format!("GET {MIRROR}/ HTTP/1.1\r\nhost: x\r\ncookie: a=1\r\nconnection: close\r\ncookie: b=2\r\n\r\n");
    assert!(ask(&server, &lines).await.contains("\ncookie: a=1; b=2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let server = Server::start().await;
    mirror(&server, json!({})).await;
    let says = "answer-header: trailer: x-sum\r\nanswer-header: trailer: x-more\r\n\
                answer-trailer: x-sum: 7\r\nanswer-trailer: x-more: 8\r\nanswer-trailer: set-cookie: a=b\r\n";
    let request = format!(
        "POST {MIRROR}/ HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close, te\r\n{says}transfer-encoding: chunked\r\n\
         trailer: x-asked\r\n\r\n1\r\nx\r\n0\r\nx-asked: yes\r\n\r\n"
    );
    let answer = ask(&server, &request).await;
    assert!(answer.contains("\ntrailer x-asked: yes\n"), "{answer}");
    assert!(answer.contains("trailer: x-sum, x-more\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n0\r\nx-sum: 7\r\nx-more: 8\r\n\r\n"), "{answer}");
    // A Fabric token in the trailers of a request does not reach the guest either.
    let secrets = format!("x-asked: yes\r\nx-token: Bearer {0}\r\nauthorization: Bearer {0}\r\n", server.admin);
    let answer = ask(&server, &request.replace("x-asked: yes\r\n", &secrets)).await;
    assert!(answer.contains("\ntrailer x-asked: yes\n") && !answer.contains(&server.admin), "{answer}");
    assert!(!answer.contains("trailer x-token"), "{answer}");
    // A client that does not request trailers receives a complete answer without them.
    let answer = ask(&server, &request.replace("te: trailers\r\n", "")).await;
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");

    let request = h2().get(format!("http://{}{MIRROR}/", server.addr)).header("answer-trailer", "x-sum: 7");
    let response: http::Response<reqwest::Body> = request.send().await.unwrap().into();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().and_then(|t| t.get("x-sum")).unwrap(), "7");
    assert_eq!(usage(&server, 3).await["failed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_connection_line_names_stays_on_the_connection() {
    let server = Server::start().await;
    mirror(&server, json!({})).await;
    let request = format!(
        "GET {MIRROR}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nconnection: x-hop, X-Other\r\nx-hop: secret\r\n\
         x-other: secret\r\nproxy-connection: secret\r\nx-kept: yes\r\n\r\n"
    );
    let answer = ask(&server, &request).await;
    assert!(answer.contains("\nx-kept: yes\n") && !answer.contains("secret"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_everything_it_will_read_makes_a_success() {
    let server = Server::start().await;
    mirror(&server, json!({})).await;
    let url = format!("http://{}{MIRROR}/", server.addr);
    let large = [("answer-bytes", "200000")];
    let mut calls = 0;
    for client in [reqwest::Client::builder().no_proxy().build().unwrap(), h2()] {
        // The head is the complete answer: HEAD, and statuses without a body.
        for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304"), ("HEAD", "404")] {
            let mut request = client.request(method.parse().unwrap(), &url).header("answer-status", status);
            for (name, value) in large {
                request = request.header(name, value);
            }
            if method == "HEAD" {
                request = request.header("answer-header", "content-length: 200000");
            }
            let answer = send(request).await.is(status.parse().unwrap());
            assert!(answer.body.is_empty());
            if method == "HEAD" {
                assert_eq!(answer.header("content-length"), Some("200000"));
            }
            calls += 1;
        }
        // A body is complete at its announced length, although the guest continues after it.
        let whole = client.get(&url).header("answer-bytes", "5000").header("answer-header", "content-length: 5000");
        assert_eq!(send(whole).await.is(200).body.len(), 5000);
        calls += 1;
    }
    let usage = usage(&server, calls).await;
    assert_eq!((&usage["failed"], &usage["cancelled"]), (&json!(0), &json!(0)), "{usage}");
    assert!(usage["fuel"].as_u64().unwrap() > calls * 10_000, "{usage}");
    let logs = server.get("/v1/logs?function=mirror").await.is(200).json();
    assert_eq!(logs["items"], json!([]), "a success leaves no line");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_billed_for_what_ran_and_is_no_failure() {
    let server = Server::start().await;
    mirror(&server, json!({ "limits": { "output-bytes": "1GiB", "fuel": 1_000_000_000_000_u64 } })).await;
    // In the middle of the body, and before there is a head.
    for (n, how) in ["answer-bytes: 50000000", "answer-then: spin", "answer-then: spin-after-body"].iter().enumerate() {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!("GET {MIRROR}/ HTTP/1.1\r\nhost: x\r\n{how}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if how.ends_with("spin") {
            until_line(&server, "mirror", "spinning").await;
        } else {
            stream.read_exact(&mut [0; 64]).await.unwrap();
        }
        drop(stream);
        let total = usage(&server, n as u64 + 1).await;
        assert_eq!((&total["failed"], &total["cancelled"]), (&json!(0), &json!(n + 1)), "{how}: {total}");
        assert!(total["fuel"].as_u64().unwrap() > 1_000 * (n as u64 + 1), "{how}: {total}");
    }
    let (level, message) = end_of_call(&server).await;
    assert_eq!((&*level, message.starts_with("cancelled: ")), ("info", true), "{message}");
    let listed = server.get("/v1/invocations?function=mirror").await.is(200).json();
    assert_eq!(listed["items"][0]["state"], "cancelled", "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_through_the_api_is_billed_when_its_client_leaves() {
    let server = Server::start().await;
    let limits = json!({ "limits": { "fuel": 1_000_000_000_000_u64 } });
    server.deploy("busy", wat(BUSY), limits).await.is(201);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let request = format!(
        "POST /v1/functions/busy/invoke HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        server.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until_line(&server, "busy", "busy").await;
    drop(stream);
    let total = usage(&server, 1).await;
    assert_eq!((&total["failed"], &total["cancelled"]), (&json!(0), &json!(1)), "{total}");
    assert!(total["fuel"].as_u64().unwrap() > 10_000, "{total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_midway_leaves_what_it_said_and_its_reason() {
    let server = Server::start().await;
    mirror(&server, json!({ "limits": { "output-bytes": "1GiB" } })).await;
    for (bytes, promised) in [(10, Some(100)), (10, None), (0, Some(100)), (300_000, Some(400_000)), (300_000, None)] {
        // Repeated, since the written data and the failure race each other.
        for _ in 0..20 {
            let length = promised.map(|n| format!("answer-header: content-length: {n}\r\n")).unwrap_or_default();
            let request = format!(
                "GET {MIRROR}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}answer-bytes: {bytes}\r\n\
                 answer-then: panic-after-body\r\n\r\n"
            );
            let answer = ask(&server, &request).await;
            if bytes == 0 && answer.starts_with("HTTP/1.1 500 ") {
                continue;
            }
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
            if head.starts_with("HTTP/1.1 500 ") {
                // The guest ended before anything was sent.
                assert!(bytes == 10 && body.contains("the function failed"), "{answer}");
                continue;
            }
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(body.matches('x').count(), bytes, "{promised:?}");
            assert!(!body.ends_with("0\r\n\r\n"), "it must not pass for a whole answer");
        }
    }
    let (level, message) = end_of_call(&server).await;
    assert_eq!(level, "error");
    assert!(message.contains("trap:unreachable"), "{message}");
    // HTTP/2 has a separate error for this.
    let request = h2().get(format!("http://{}{MIRROR}/", server.addr));
    let mut response =
        request.header("answer-bytes", "300000").header("answer-then", "panic-after-body").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let mut got = 0;
    let end = loop {
        match response.chunk().await {
            Ok(Some(piece)) => got += piece.len(),
            end => break end,
        }
    };
    // Data that the windows had no room for at the reset is lost.
    assert!(end.is_err() && got > 0, "{got}: {end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_fit_the_kind_of_function() {
    let server = Server::start().await;
    mirror(&server, json!({ "limits": { "deadline-ms": 50 } })).await;
    server.deploy("loop", wat(crate::support::LOOP), json!({ "limits": { "fuel": 1000 } })).await.is(201);
    let hint = |answer: &Answer, code: &str| answer.problem(code).hint.unwrap();
    let late = send(server.ask("GET", &format!("{MIRROR}/")).header("answer-then", "spin")).await;
    assert_eq!(hint(&late, "deadline"), "do less in one request, or raise `limits.deadline-ms` in fabric.toml");
    let spent = send(server.ask("POST", "/v1/functions/loop/invoke")).await;
    assert_eq!(hint(&spent, "out-of-fuel"), "do less in one call, or raise `limits.fuel` in fabric.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn coded_bodies_are_refused_and_never_taken_for_plain_ones() {
    let server = Server::start().await;
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    mirror(&server, json!({})).await;
    for (method, path) in [
        ("POST", "/v1/functions/cat/invoke"),
        ("POST", "/v1/functions/cat/invoke?mode=async"),
        ("POST", "/v1/functions/mirror/invoke"),
        ("PUT", "/v1/objects/data.csv"),
        ("POST", "/v1/jobs"),
    ] {
        for coding in ["gzip", "br", "identity, zstd"] {
            let answer = send(server.ask(method, path).header("content-encoding", coding).body("\x1f")).await;
            let problem = answer.problem("unsupported-media-type");
            assert!(problem.detail.contains(coding.rsplit(' ').next().unwrap()), "{}", problem.detail);
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
    }
    let plain = send(server.ask("POST", "/v1/functions/cat/invoke").header("content-encoding", "identity").body("x"));
    assert_eq!(plain.await.is(200).text(), "x");
    // For an http function, the coding is between the caller and the function.
    let own = send(server.bare("POST", &format!("{MIRROR}/")).header("content-encoding", "gzip").body("\x1f")).await;
    assert!(own.is(200).text().contains("\ncontent-encoding: gzip\n"));
    let transfer = format!(
        "POST {MIRROR}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    );
    let answer = ask(&server, &transfer).await;
    assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains("`gzip`"), "{answer}");
}
