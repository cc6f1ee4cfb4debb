//! Calls of functions, synchronous and asynchronous, with parameters, results and faults.

use crate::support::{CAT, LOOP, Server, TRAP, send, wat};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_gives_the_result_and_what_it_cost() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    for body in [Vec::new(), vec![0, 255, 1], vec![b'x'; 3 << 20]] {
        let called = send(server.ask("POST", "/v1/functions/f/invoke").body(body.clone())).await.is(200);
        assert!(called.body == body, "the body comes back whole");
        assert_eq!(called.header("fabric-version"), Some("1"));
        assert!(called.header("fabric-fuel").unwrap().parse::<u64>().unwrap() > 0);
        assert!(called.header("fabric-cached").is_some());
        assert_eq!(called.header("fabric-invocation-id").unwrap().len(), 26);
        assert_eq!(called.header("x-content-type-options"), Some("nosniff"));
    }
    send(server.ask("POST", "/v1/functions/f/invoke?mode=later")).await.problem("bad-request");
    send(server.ask("POST", "/v1/functions/No!/invoke")).await.problem("bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_later_is_waited_for_and_read() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    server.deploy("bad", wat(TRAP), json!({})).await.is(201);
    let later = async |f: &str| {
        let accepted =
            send(server.ask("POST", &format!("/v1/functions/{f}/invoke?mode=async")).body("hello")).await.is(202);
        let at = accepted.header("location").unwrap().to_owned();
        assert_eq!(at, format!("/v1/invocations/{}", accepted.json()["id"].as_str().unwrap()));
        at
    };
    let at = later("f").await;
    let ended = server.get(&format!("{at}?wait=60")).await.is(200).json();
    assert_eq!((&ended["state"], &ended["result_bytes"]), (&json!("succeeded"), &json!(5)), "{ended}");
    let result = server.get(&format!("{at}/result")).await.is(200);
    assert_eq!(result.text(), "hello");
    let etag = result.header("etag").unwrap().to_owned();
    send(server.ask("GET", &format!("{at}/result")).header("if-none-match", etag)).await.is(304);
    let part = send(server.ask("GET", &format!("{at}/result")).header("range", "bytes=1-2")).await.is(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("el", Some("bytes 1-2/5")));

    let at = later("bad").await;
    let ended = server.get(&format!("{at}?wait=60")).await.is(200).json();
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("trap:unreachable")), "{ended}");
    let problem = server.get(&format!("{at}/result")).await.problem("trap:unreachable");
    assert!(problem.invocation_id.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_call_has_no_stored_result_and_cannot_be_cancelled() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let called = send(server.ask("POST", "/v1/functions/f/invoke").body("hello")).await.is(200);
    let at = format!("/v1/invocations/{}", called.header("fabric-invocation-id").unwrap());
    // Its record is written a moment later.
    while server.get(&at).await.status == 404 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let problem = server.get(&format!("{at}/result")).await.problem("not-found");
    assert!(problem.detail.contains("stored result") && problem.hint.unwrap().contains("mode=async"));
    let problem = send(server.ask("POST", &format!("{at}/cancel"))).await.problem("conflict");
    assert!(problem.detail.ends_with("has ended: succeeded"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_fault_is_a_problem_with_its_invocation() {
    let server = Server::start().await;
    server.deploy("bad", wat(TRAP), json!({})).await.is(201);
    server.deploy("endless", wat(LOOP), json!({ "limits": { "fuel": 1_000_000 } })).await.is(201);
    server.deploy("small", wat(CAT), json!({ "limits": { "body-bytes": 10 } })).await.is(201);
    for (f, code) in [("bad", "trap:unreachable"), ("endless", "out-of-fuel")] {
        let answer = send(server.ask("POST", &format!("/v1/functions/{f}/invoke"))).await;
        let problem = answer.problem(code);
        assert_eq!(problem.invocation_id.as_deref(), answer.header("fabric-invocation-id"));
        assert!(problem.invocation_id.is_some());
    }
    send(server.ask("POST", "/v1/functions/small/invoke").body("01234567890")).await.problem("too-large");
    send(server.ask("POST", "/v1/functions/small/invoke").body("0123456789")).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_break_the_schema_are_named_with_their_path() {
    let server = Server::start().await;
    let schema = json!({
        "type": "object",
        "properties": { "n": { "type": "integer", "minimum": 1 }, "s": { "type": "string", "pattern": "^a+$" } },
        "required": ["n"], "additionalProperties": false
    });
    server.deploy("f", wat(CAT), json!({ "params": schema })).await.is(201);
    let call = |params: &str| send(server.ask("POST", "/v1/functions/f/invoke").query(&[("params", params)]).body("x"));
    call(r#"{"n": 1, "s": "aa"}"#).await.is(200);
    for (params, words) in [
        (r"{}", "\"n\" is a required property"),
        (r#"{"n": 0}"#, "`/n`: 0 is less than the minimum of 1"),
        (r#"{"n": "x"}"#, "`/n`: \"x\" is not of type \"integer\""),
        (r#"{"n": 1, "s": "b"}"#, "`/s`: "),
        (r#"{"n": 1, "z": 1}"#, "'z' was unexpected"),
        (r"{bad", "not a JSON object"),
        (r"[1]", "not a JSON object"),
    ] {
        let problem = call(params).await.problem("invalid-params");
        assert!(problem.detail.contains(words), "{params}: {}", problem.detail);
    }
    let both = call(r#"{"n": 0, "s": "b"}"#).await.problem("invalid-params");
    assert!(both.detail.contains("`/n`") && both.detail.contains("`/s`"), "{}", both.detail);
    let header = server.ask("POST", "/v1/functions/f/invoke").header("fabric-params", r#"{"n": 2}"#);
    send(header.body("x")).await.is(200);
    let job = json!({ "function": "f", "input": { "items": [1] }, "params": { "n": 0 } });
    server.json("POST", "/v1/jobs", job).await.problem("invalid-params");
}
