//! Http functions: the guest's view of a request, and access.

use crate::support::{CAT, Server, guest, send, wat};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_guest_sees_the_path_behind_its_name() {
    let server = Server::start().await;
    server.deploy("hello", guest("http-hello"), json!({ "function": { "public": true } })).await.is(201);
    for (asked, path, query) in [
        ("/f/default/hello", "/", ""),
        ("/f/default/hello/", "/", ""),
        ("/f/default/hello?a=1", "/", "a=1"),
        ("/f/default/hello/a/b?x=1&y=%20", "/a/b", "x=1&y=%20"),
        ("/f/default/hello:live/a%2Fb", "/a%2Fb", ""),
        ("/f/default/hello@1//x", "//x", ""),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = send(server.bare(method, asked)).await.is(200);
            assert_eq!(
                answer.text(),
                format!("Hello from Fabric!\npath: {path}\nquery: {query}\n"),
                "{method} {asked}"
            );
            assert!(answer.header("fabric-request-id").is_some() && answer.header("fabric-invocation-id").is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_function_takes_a_token_of_its_tenant_and_tells_others_nothing() {
    let server = Server::start().await;
    server.deploy("hello", guest("http-hello"), json!({})).await.is(201);
    server.deploy("task", wat(CAT), json!({})).await.is(201);
    let (_, mine) = server.token("invoker", "default").await;
    let (_, other) = server.token("tenant-admin", "other").await;
    send(server.bare("GET", "/f/default/hello/").bearer_auth(&mine)).await.is(200);
    send(server.ask("GET", "/f/default/hello/")).await.is(200);
    send(server.bare("GET", "/f/default/hello/").bearer_auth(&other)).await.problem("not-found");
    // Without a token, functions that exist and functions that do not cannot be distinguished.
    let there = send(server.bare("GET", "/f/default/hello/")).await;
    let absent = send(server.bare("GET", "/f/default/absent/")).await;
    let task = send(server.bare("GET", "/f/default/task/")).await;
    there.problem("unauthenticated");
    assert_eq!(there.body, absent.body);
    assert_eq!(there.body, task.body);
    send(server.ask("GET", "/f/default/task/")).await.problem("not-found");
    send(server.ask("GET", "/f/default/absent/")).await.problem("not-found");
    for path in ["/f/", "/f/default", "/f/No!/x", "/f/default/No!/x"] {
        send(server.ask("GET", path)).await.problem("bad-request");
    }
    // An invocation sends it `POST /`. Its answer must be harmless on the API's own origin.
    let called = send(server.ask("POST", "/v1/functions/hello/invoke").body("x")).await.is(200);
    assert_eq!(called.text(), "Hello from Fabric!\npath: /\nquery: \n");
    assert_eq!(called.header("fabric-version"), Some("1"));
    assert_eq!(called.header("x-content-type-options"), Some("nosniff"));
    for how in ["mode=async", "params={\"a\":1}"] {
        let path = format!("/v1/functions/hello/invoke?{how}");
        send(server.ask("POST", &path).body("x")).await.problem("bad-request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_functions_answer_over_http2_with_and_without_tls() {
    let server = Server::start().await;
    server.deploy("hello", guest("http-hello"), json!({ "function": { "public": true } })).await.is(201);
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/f/default/hello/a?b=1", server.addr)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    assert_eq!(answer.text().await.unwrap(), "Hello from Fabric!\npath: /a\nquery: b=1\n");

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Some(fabric_gateway::server::tls::load(&cert, &key).unwrap());
    let secure = Server::with(fabric_gateway::Options { tls, ..Default::default() }, |_| {}).await;
    let ca = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let url = |path: &str| format!("https://localhost:{}{path}", secure.addr.port());
    let form = crate::support::form("hello", guest("http-hello"), json!({ "function": { "public": true } }));
    let deployed = client.post(url("/v1/functions")).bearer_auth(&secure.admin).multipart(form).send().await.unwrap();
    assert_eq!(deployed.status().as_u16(), 201);
    let answer = client.get(url("/f/default/hello/a")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing_of_how_a_public_function_fails() {
    let server = Server::start().await;
    let limits = json!({ "function": { "public": true }, "limits": { "deadline-ms": 500 } });
    server.deploy("mirror", guest("http-mirror"), limits).await.is(201);
    let (_, mine) = server.token("invoker", "default").await;
    let (_, other) = server.token("tenant-admin", "other").await;
    for (header, value, code) in [
        ("answer-then", "panic", "trap:unreachable"),
        ("answer-then", "spin", "deadline"),
        ("answer-status", "103", "guest-contract"),
    ] {
        let ask = || server.bare("GET", "/f/default/mirror/").header(header, value);
        for stranger in [ask(), ask().bearer_auth(&other), ask().bearer_auth("nonsense")] {
            let answer = send(stranger).await.is(500);
            let problem = answer.problem("internal");
            assert_eq!(problem.detail, "the function failed");
            assert!(problem.hint.is_none() && problem.backtrace.is_empty() && problem.stderr.is_empty());
            assert!(problem.fuel.is_none() && !answer.text().contains("told to"), "{}", answer.text());
            // The id leads the owner to the details.
            let id = answer.header("fabric-request-id").unwrap();
            assert_eq!(problem.invocation_id.as_deref(), Some(id));
            let lines = server.get(&format!("/v1/logs?invocation={id}")).await.json();
            let said = |text: &str| {
                lines["items"].as_array().unwrap().iter().any(|l| l["message"].as_str().unwrap().contains(text))
            };
            assert!(code == "guest-contract" || said(code), "{lines}");
        }
        for owner in [ask().bearer_auth(&mine), ask().bearer_auth(&server.admin)] {
            send(owner).await.problem(code);
        }
    }
    // The owner sees the reason first, and only the function's own frames of the stack.
    let panicked = server.ask("GET", "/f/default/mirror/").header("answer-then", "panic");
    let problem = send(panicked).await.problem("trap:unreachable");
    let (place, said) = problem.detail.split_once(": ").unwrap();
    assert!(
        place.starts_with("panicked at ") && place.contains("lib.rs:") && said == "told to fail",
        "{}",
        problem.detail
    );
    let names: Vec<_> = problem.backtrace.iter().map(|frame| frame.function.as_str()).collect();
    assert!(!names.is_empty());
    assert!(!names.iter().any(|name| name.contains("panic") || name.starts_with("std::")), "{names:?}");
    // A fault of the caller or of the server is shown to every caller.
    server
        .deploy(
            "small",
            guest("http-mirror"),
            json!({ "function": { "public": true }, "limits": { "body-bytes": "1KiB" } }),
        )
        .await
        .is(201);
    send(server.bare("POST", "/f/default/small/").body("x".repeat(2048))).await.problem("too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_no_longer_public_is_closed_in_all_its_versions() {
    let server = Server::start().await;
    let public = |public: bool| json!({ "function": { "public": public } });
    server.deploy("hello", guest("http-hello"), public(true)).await.is(201);
    let targets = json!({ "targets": [{ "version": 1, "weight": 1 }] });
    server.json("PUT", "/v1/functions/hello/aliases/old", targets.clone()).await.is(200);
    let ask = async |name: &str| send(server.bare("GET", &format!("/f/default/{name}/"))).await;
    for open in ["hello", "hello@1", "hello:old", "hello:latest"] {
        ask(open).await.is(200);
    }
    server.deploy("hello", guest("http-hello"), public(false)).await.is(201);
    for closed in ["hello", "hello@1", "hello:old", "hello@2", "hello:latest"] {
        ask(closed).await.problem("unauthenticated");
        send(server.ask("GET", &format!("/f/default/{closed}/"))).await.is(200);
    }
    // While calls are divided, only the bare name reaches the version that is still public.
    let divided = json!({ "targets": [{ "version": 1, "weight": 1 }, { "version": 2, "weight": 1 }] });
    server.json("PUT", "/v1/functions/hello/aliases/live", divided).await.is(200);
    ask("hello@1").await.problem("unauthenticated");
    server.json("PUT", "/v1/functions/hello/aliases/live", targets).await.is(200);
    ask("hello@1").await.is(200);
    ask("hello@2").await.problem("unauthenticated");
}
