//! Attacks by HTTP clients and http functions: clients that never read, a tenant that holds slots, headers that reach
//! beyond a function, secrets forwarded to a guest, and information for strangers.

use fabric_api::token::NewToken;
use fabric_client::{Client, DeployRequest, InvokeRequest};
use fabric_tests::{Options, Server, built, hostile, manifest};
use fabric_types::rest::token::Role;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const MIB: u64 = 1 << 20;
/// Timeout. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn deploy(client: &Client, name: &str, module: bytes::Bytes, more: &str) {
    client.deploy(&DeployRequest::new(manifest(name, more), module)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
}

fn address(server: &Server) -> &str {
    server.url().strip_prefix("http://").unwrap()
}

/// Sends raw bytes and reads the head of the response. The connection stays open.
async fn begin(server: &Server, request: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    let read = async {
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no answer");
    (String::from_utf8_lossy(&head).into_owned(), stream)
}

/// Sends raw bytes and reads until the server closes the connection.
async fn whole(server: &Server, request: &str) -> String {
    let (head, mut stream) = begin(server, request).await;
    let mut body = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut body)).await.expect("no end");
    head + &String::from_utf8_lossy(&body)
}

/// Returns a request for `target` with extra headers that closes its connection.
fn get(target: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|h| format!("{h}\r\n")).collect();
    let host = if more.contains("host: ") { "" } else { "host: fabric.test\r\n" };
    format!("GET {target} HTTP/1.1\r\n{host}connection: close\r\n{more}\r\n")
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// Opens `n` connections that send a request and never read.
async fn deaf(server: &Server, request: &str, n: usize) -> Vec<TcpStream> {
    let one = async || {
        let mut stream = TcpStream::connect(address(server)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    };
    futures::future::join_all((0..n).map(|_| one())).await
}

#[tokio::test]
async fn clients_that_never_read_hold_neither_all_slots_nor_any_past_the_deadline() {
    let server = Server::start(Options::slots(2)).await;
    for (name, deadline) in [("slow", 600_000), ("brief", 1_000)] {
        let limits = format!("public = true\n[limits]\ndeadline-ms = {deadline}\noutput-bytes = \"1GiB\"");
        deploy(server.client(), name, hostile("http-flood"), &limits).await;
    }
    deploy(server.client(), "hello", built("http-hello"), "public = true").await;
    let other = server.client_in("other");
    deploy(&other, "noop", built("noop"), "").await;
    let readers = deaf(&server, &get("/f/default/slow/", &[]), 140).await;
    server.until_metric("fabric_node_running_guests", |n| n >= 90.0).await;
    // Another tenant, and another function of the same tenant, are served meanwhile.
    for n in 0..5 {
        let call = other.invoke("noop", InvokeRequest::new(format!("other {n}")));
        let answer = tokio::time::timeout(PATIENCE, call).await.expect("another tenant had to wait").unwrap();
        assert_eq!(answer.body.bytes(MIB).await.unwrap(), format!("other {n}"));
        assert_eq!(status(&whole(&server, &get("/f/default/hello/", &[])).await), "200");
    }
    drop(readers);
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
    let readers = deaf(&server, &get("/f/default/brief/", &[]), 140).await;
    server.until_metric("fabric_node_running_guests", |n| n > 0.0).await;
    // The deadlines end all of them although no client reads.
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
    drop(readers);
}

#[tokio::test]
async fn a_call_that_finds_no_slot_is_refused_in_time() {
    let mut options = Options::slots(1);
    options.args.extend(["--slot-wait".to_owned(), "1".to_owned()]);
    let server = Server::start(options).await;
    let limits = "public = true\n[limits]\ndeadline-ms = 600000\nconcurrency = 400\noutput-bytes = \"1GiB\"";
    deploy(server.client(), "flood", hostile("http-flood"), limits).await;
    let flood = get("/f/default/flood/", &[]);
    // Calls beyond the function's share of the slots are rejected, although no client reads.
    let answers = futures::future::join_all((0..400).map(|_| begin(&server, &flood))).await;
    let refused: Vec<_> = answers.iter().filter(|(head, _)| status(head) == "503").collect();
    assert!(!refused.is_empty() && refused.len() < 400, "{}", refused.len());
    assert!(refused.iter().all(|(head, _)| head.contains("retry-after: 1\r\n")));
}

const MIRROR: &str = "/f/default/mirror";

#[tokio::test]
async fn a_function_says_nothing_for_its_neighbours() {
    let mut options = Options::default();
    options.args.extend(["--functions-domain".to_owned(), "fn.test".to_owned()]);
    let server = Server::start(options).await;
    deploy(server.client(), "mirror", hostile("http-mirror"), "public = true").await;
    let says = [
        "answer-header: service-worker-allowed: /",
        "answer-header: clear-site-data: \"*\"",
        "answer-header: strict-transport-security: max-age=1; includeSubDomains",
        "answer-header: public-key-pins: x",
        "answer-header: alt-svc: h2=\"evil.test:443\"",
        "answer-header: nel: {}",
        "answer-header: report-to: {}",
        "answer-header: reporting-endpoints: a=\"https://evil.test\"",
        "answer-header: set-cookie: a=b; Path=/; Domain=fabric.test; HttpOnly",
        "answer-header: set-cookie: __Host-a=b; Path=/; Secure",
        "answer-header: set-cookie: c=d",
        "answer-header: x-own: yes",
    ];
    let shared = whole(&server, &get(&format!("{MIRROR}/x"), &says)).await;
    let names = |answer: &str| -> Vec<String> {
        let head = answer.split("\r\n\r\n").next().unwrap().lines().skip(1);
        let mut names: Vec<_> = head.map(|l| l.split(':').next().unwrap().to_owned()).collect();
        names.retain(|n| {
            !n.starts_with("fabric-")
                && !matches!(n.as_str(), "date" | "connection" | "transfer-encoding" | "content-length")
        });
        names.sort();
        names
    };
    assert_eq!(names(&shared), ["set-cookie", "set-cookie", "x-own"], "{shared}");
    assert!(shared.contains("set-cookie: a=b; HttpOnly; Path=/f/default/mirror\r\n"), "{shared}");
    assert!(shared.contains("set-cookie: c=d; Path=/f/default/mirror\r\n"), "{shared}");
    // A service worker at the path without a slash would also control neighbouring functions.
    let script = whole(&server, &get(MIRROR, &["service-worker: script"])).await;
    assert_eq!(status(&script), "400");
    assert_eq!(status(&whole(&server, &get(&format!("{MIRROR}/sw.js"), &["service-worker: script"])).await), "200");
    for code in ["100", "101", "103", "199"] {
        let answer = whole(&server, &get(&format!("{MIRROR}/"), &[&format!("answer-status: {code}")])).await;
        assert_eq!(status(&answer), "500", "{answer}");
        let owner = format!("authorization: Bearer {}", server.admin());
        let answer = whole(&server, &get(&format!("{MIRROR}/"), &[&format!("answer-status: {code}"), &owner])).await;
        assert_eq!(status(&answer), "422", "{answer}");
        assert!(answer.contains("guest-contract"), "{answer}");
    }
    // On its own host, a function may set these headers for that host only.
    let own = [&["host: mirror.default.fn.test"][..], &says].concat();
    let own = whole(&server, &get("/v1/tokens?x=1", &own)).await;
    assert!(own.contains("authority: mirror.default.fn.test\ntarget: /v1/tokens?x=1\n"), "{own}");
    for kept in [
        "service-worker-allowed: /",
        "clear-site-data: ",
        "strict-transport-security: ",
        "set-cookie: a=b; HttpOnly; Path=/\r\n",
        "set-cookie: __Host-a=b",
    ] {
        assert!(own.contains(kept), "{kept}: {own}");
    }
    assert!(!own.contains("alt-svc") && !own.contains("Domain="), "{own}");
    // Its host serves no API, no other function and no health check.
    for (host, target) in [
        ("absent.default.fn.test", "/healthz"),
        ("default.fn.test", "/healthz"),
        ("fn.test", "/v1/functions"),
        ("a.mirror.default.fn.test", "/f/default/mirror/"),
    ] {
        let answer = whole(&server, &get(target, &[&format!("host: {host}")])).await;
        assert!(matches!(status(&answer), "401" | "404"), "{host}: {answer}");
    }
    let shown = server.cli(&["config", "show"]).await;
    assert!(shown.text().contains("serve.functions-domain"), "{}", shown.text());
}

#[tokio::test]
async fn no_secret_of_a_caller_reaches_a_guest() {
    let server = Server::start(Options::default()).await;
    deploy(server.client(), "mirror", hostile("http-mirror"), "public = true").await;
    deploy(server.client(), "private", hostile("http-mirror"), "").await;
    let secret = server.token("default", Role::Invoker).await;
    let mut shown = Vec::new();
    for header in [
        format!("authorization: Bearer {secret}"),
        format!("authorization: Bearer\t{secret}"),
        format!("authorization: bearer   {secret}"),
        format!("authorization: Bearer {secret},x"),
        format!("authorization: token {secret}"),
        format!("authorization: Basic YTpi\r\nauthorization: Bearer {secret}"),
        format!("cookie: a=1; token={secret}"),
        format!("x-api-key: {secret}"),
        format!("referer: http://fabric.test/?t={}", secret.replace('_', "%5F")),
    ] {
        let answer = whole(&server, &get(&format!("{MIRROR}/"), &[&header, "x-own: mine"])).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(answer.contains("x-own: mine"), "{answer}");
        shown.push(answer);
    }
    shown.push(whole(&server, &get("/f/default/private/", &[&format!("authorization: Bearer {secret}")])).await);
    assert!(shown.last().unwrap().contains("target: /\n"), "{shown:?}");
    for target in [format!("{MIRROR}/?access_token={secret}"), format!("{MIRROR}/{secret}")] {
        let answer = whole(&server, &get(&target, &[])).await;
        assert_eq!(status(&answer), "400", "{answer}");
        shown.push(answer);
    }
    // The secret part, after `fab_`, the id and `_`.
    let key = &secret[21..];
    for answer in shown {
        assert!(!answer.contains(key), "{answer}");
    }
}

/// Returns a response without the lines that always differ.
fn comparable(answer: &str) -> String {
    let kept = answer.lines().filter(|l| !l.starts_with("fabric-request-id") && !l.starts_with("date"));
    kept.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn strangers_do_not_learn_which_functions_there_are() {
    let server = Server::start(Options::default()).await;
    deploy(server.client(), "private", built("http-hello"), "").await;
    server.example("noop").await;
    let stranger = format!("authorization: Bearer {}", server.token("other", Role::TenantAdmin).await);
    for token in [&[][..], &[&stranger[..]], &["authorization: Bearer nonsense"]] {
        let mut answers = Vec::new();
        for name in ["private", "absent1", "noop", "private@7", "private:beta"] {
            let answer = whole(&server, &get(&format!("/f/default/{name}/x"), token)).await;
            assert!(matches!(status(&answer), "401" | "404"), "{answer}");
            let answer = comparable(&answer).replace(name, "NAME");
            let length = answer.lines().find(|l| l.starts_with("content-length")).unwrap().to_owned();
            answers.push(answer.replace(&length, ""));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:#?}");
    }
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = Server::start(Options::default()).await;
    for (request, wanted) in [
        ("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\nconnection: close\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\nconnection: close\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a.test/x\r\nconnection: close\r\n\r\n", "400"),
        // An absolute target takes precedence over `Host`.
        ("GET http://b.test/healthz HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n", "200"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
    ] {
        let answer = whole(&server, request).await;
        assert_eq!(status(&answer), wanted, "{request}: {answer}");
    }
}

#[tokio::test]
async fn what_a_revoked_token_has_open_ends() {
    let server = Server::start(Options::default()).await;
    let new = NewToken { name: "brief".into(), tenant: None, role: Role::Developer, ttl_s: None };
    let made = server.client().create_token(&new).await.unwrap();
    let follow = get("/v1/logs?follow=true", &[&format!("authorization: Bearer {}", made.secret)]);
    let (head, mut stream) = begin(&server, &follow).await;
    assert_eq!(status(&head), "200");
    let kept = get("/v1/logs?follow=true", &[&format!("authorization: Bearer {}", server.admin())]);
    let (_, mut kept) = begin(&server, &kept).await;
    server.client().revoke_token(&made.token.id).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the stream did not end");
    let open = async { while kept.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} };
    assert!(tokio::time::timeout(Duration::from_millis(100), open).await.is_err(), "the stream of another token ended");
}

#[tokio::test]
async fn one_tenants_event_streams_leave_room_for_others_and_for_admins() {
    let server = Server::start(Options::default()).await;
    let follow = async |secret: &str| {
        let request = get("/v1/logs?follow=true", &[&format!("authorization: Bearer {secret}")]);
        let (head, stream) = begin(&server, &request).await;
        (status(&head).to_owned(), stream)
    };
    let greedy = server.token("greedy", Role::Developer).await;
    let taken = futures::future::join_all((0..300).map(|_| follow(&greedy))).await;
    let open = taken.iter().filter(|(status, _)| status == "200").count();
    assert_eq!(open, 256);
    assert!(taken.iter().all(|(status, _)| status == "200" || status == "429"));
    let modest = server.token("modest", Role::Developer).await;
    assert_eq!(follow(&modest).await.0, "200");
    assert_eq!(follow(server.admin()).await.0, "200");
}

#[tokio::test]
async fn a_data_folder_that_others_could_read_is_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = Server::start(Options::default()).await;
    let data = server.folder().join("data");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    server.kill9().await;
    set(&data, 0o755);
    for file in ["state.db", "index.db", "admin-token"] {
        set(&data.join(file), 0o644);
    }
    server.restart().await;
    assert_eq!(mode(&data), 0o700);
    for file in ["state.db", "index.db", "admin-token"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert!(server.log().contains("removed other users' access"), "{}", server.log());
}

#[tokio::test]
async fn only_admins_see_which_modules_are_warm() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    server.client().invoke("noop", InvokeRequest::new("x")).await.unwrap();
    let nodes =
        async |secret: &str| whole(&server, &get("/v1/nodes", &[&format!("authorization: Bearer {secret}")])).await;
    fabric_tests::until("the module is warm", async || nodes(server.admin()).await.contains("\"warm\"")).await;
    let developer = server.token("other", Role::Developer).await;
    assert!(!nodes(&developer).await.contains("\"warm\""));
}

#[tokio::test]
async fn names_that_the_json_parser_reserves_are_refused() {
    let server = Server::start(Options::default()).await;
    deploy(server.client(), "noop", built("noop"), "").await;
    let token = server.token("default", Role::Developer).await;
    // The text in the string would be parsed past the limits on nesting and memory.
    let raw = "$serde_json::private::RawValue";
    let object = format!(r#"{{"{raw}":"[[[[1]]]]"}}"#);
    let escaped = object.replace('$', "\\u0024");
    let mut refused = Vec::new();
    for object in [&object, &escaped] {
        let spec = format!(r#"{{"function":"noop","input":{{"items":[1]}},"params":{{"q":{object}}}}}"#);
        let item = format!(r#"{{"function":"noop","input":{{"items":[{object}]}}}}"#);
        refused.push(post(&server, &token, "/v1/jobs?dry_run=true", "application/json", &spec).await);
        refused.push(post(&server, &token, "/v1/jobs?dry_run=true", "application/json", &item).await);
        refused.push(post(&server, &token, "/v1/jobs?dry_run=true", "application/yaml", &spec).await);
        refused.push(post(&server, &token, "/v1/jobs?dry_run=true", "application/yaml", &item).await);
        refused.push(post(&server, &token, "/v1/placements/explain", "application/json", &spec).await);
        let params: String = format!(r#"{{"q":{object}}}"#).bytes().map(|byte| format!("%{byte:02x}")).collect();
        refused.push(post(&server, &token, &format!("/v1/functions/noop/invoke?params={params}"), "x/y", "1").await);
    }
    for (line, answer) in refused.iter().enumerate() {
        assert_eq!(status(answer), "400", "{line}: {answer}");
        assert!(answer.contains("may not begin with `$serde_json::private::`"), "{line}: {answer}");
    }
    // As text it is data.
    let text = format!(r#"{{"function":"noop","input":{{"items":["{raw}"]}},"params":{{"q":"{raw}"}}}}"#);
    let taken = post(&server, &token, "/v1/jobs", "application/json", &text).await;
    assert_eq!(status(&taken), "201", "{taken}");
    // A function's schema is JSON too.
    let manifest = format!("{}\n[params.properties.q]\n\"{raw}\" = \"[[1]]\"", manifest("odd", ""));
    let refused = server.client().deploy(&DeployRequest::new(manifest, built("noop"))).await.unwrap_err();
    assert!(refused.to_string().contains("may not begin with"), "{refused}");
}

async fn post(server: &Server, token: &str, target: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {target} HTTP/1.1\r\nhost: fabric.test\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    whole(server, &request).await
}
