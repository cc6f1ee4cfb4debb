//! Deployment, versions, aliases, rollback, deletion, and all of them concurrently.

use crate::support::{CAT, LOOP, Server, TRAP, form, send, wat};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn numbers(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_at_once_lose_no_version_and_live_is_the_newest() {
    let server = Server::start().await;
    let deploys =
        (0..12).map(|n| server.deploy("f", wat(CAT), json!({ "function": { "description": format!("{n}") } })));
    let made: BTreeSet<u64> = futures::future::join_all(deploys)
        .await
        .into_iter()
        .map(|answer| answer.is(201).json()["deployment"]["version"].as_u64().unwrap())
        .collect();
    assert_eq!(made, (1..=12).collect());
    assert_eq!(numbers(&server.get("/v1/functions/f/versions").await.json()), (1..=12).collect::<Vec<_>>());
    let f = server.get("/v1/functions/f").await.is(200).json();
    assert_eq!((&f["latest"], &f["live"]), (&json!(12), &json!([{ "version": 12, "weight": 1 }])));
    let called = send(server.ask("POST", "/v1/functions/f/invoke").body("x")).await.is(200);
    assert_eq!(called.header("fabric-version"), Some("12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_deployment_at_once_or_again_is_one_version() {
    let server = Server::start().await;
    let answers = futures::future::join_all((0..6).map(|_| server.deploy("f", wat(CAT), json!({})))).await;
    let created = answers.iter().filter(|a| a.status == 201).count();
    assert!(answers.iter().all(|a| a.json()["deployment"]["version"] == 1), "{answers:?}");
    assert_eq!(created, 1);
    let again = server.deploy("f", wat(CAT), json!({})).await.is(200).json();
    assert_eq!((&again["created"], &again["deployment"]["version"]), (&json!(false), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_moves_unless_told_not_to_and_rolls_back_and_forth() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    server.json("POST", "/v1/functions/f/rollback", json!({})).await.problem("conflict");
    let quiet = form("f", wat(TRAP), json!({})).text("promote", "false").text("note", "not yet");
    let quiet = send(server.ask("POST", "/v1/functions").multipart(quiet)).await.is(201).json();
    assert_eq!((&quiet["deployment"]["version"], &quiet["deployment"]["note"]), (&json!(2), &json!("not yet")));
    let call =
        async |reference: &str| send(server.ask("POST", &format!("/v1/functions/{reference}/invoke")).body("x")).await;
    call("f").await.is(200);
    call("f:live").await.is(200);
    call("f:latest").await.problem("trap:unreachable");
    call("f@2").await.problem("trap:unreachable");
    call("f@1").await.is(200);
    call("f@3").await.problem("not-found");
    call("f:nope").await.problem("not-found");
    server.json("POST", "/v1/functions/f/rollback", json!({ "to": 2 })).await.is(200);
    call("f").await.problem("trap:unreachable");
    // An empty body: back to the previous version.
    send(server.ask("POST", "/v1/functions/f/rollback")).await.is(200);
    call("f").await.is(200);
    server.json("POST", "/v1/functions/f/rollback", json!({ "to": 9 })).await.problem("not-found");
    // An explicit deployment after a rollback makes the version live again.
    server.deploy("f", wat(TRAP), json!({})).await.is(200);
    call("f").await.problem("trap:unreachable");
}

fn live(function: &Value) -> Vec<u64> {
    function["live"].as_array().unwrap().iter().map(|target| target["version"].as_u64().unwrap()).collect()
}

/// Deploys a version that differs from others by its description. `promote` is the form's value.
async fn version(server: &Server, n: usize, promote: &str) -> Value {
    let form = form("f", wat(CAT), json!({ "function": { "description": format!("{n}") } }))
        .text("promote", promote.to_owned());
    send(server.ask("POST", "/v1/functions").multipart(form)).await.is(201).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rollback_goes_further_back_and_none_forward() {
    let server = Server::start().await;
    for n in 1..=4 {
        version(&server, n, "true").await;
    }
    let back = async |body: Value| server.json("POST", "/v1/functions/f/rollback", body).await;
    let now = async || live(&server.get("/v1/functions/f").await.json());
    for earlier in [3, 2] {
        back(json!({})).await.is(200);
        assert_eq!(now().await, [earlier]);
    }
    // Deployments and manual changes move forward, and can be rolled back.
    version(&server, 5, "true").await;
    back(json!({})).await.is(200);
    assert_eq!(now().await, [2]);
    back(json!({})).await.is(200);
    back(json!({})).await.problem("conflict");
    assert_eq!(now().await, [1]);
    // A rollback to a named version also drops the history after it.
    for to in [4, 5] {
        let targets = json!({ "targets": [{ "version": to, "weight": 1 }] });
        server.json("PUT", "/v1/functions/f/aliases/live", targets).await.is(200);
    }
    back(json!({ "to": 1 })).await.is(200);
    assert_eq!(now().await, [1]);
    back(json!({})).await.problem("conflict");
    // A deleted version is skipped.
    for to in [3, 2, 4] {
        let targets = json!({ "targets": [{ "version": to, "weight": 1 }] });
        server.json("PUT", "/v1/functions/f/aliases/live", targets).await.is(200);
    }
    send(server.ask("DELETE", "/v1/functions/f/versions/2")).await.is(204);
    back(json!({})).await.is(200);
    assert_eq!(now().await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_promoted_is_not_live_though_nothing_else_is() {
    let server = Server::start().await;
    let made = version(&server, 1, "false").await;
    assert_eq!((&made["live"], &made["live_before"]), (&json!([]), &json!([])));
    let call =
        async |reference: &str| send(server.ask("POST", &format!("/v1/functions/{reference}/invoke")).body("x")).await;
    let problem = call("f").await.problem("not-found");
    assert!(problem.detail.contains("no version of `f` is live"), "{}", problem.detail);
    assert!(problem.hint.unwrap().contains("live=1"));
    call("f@1").await.is(200);
    call("f:latest").await.is(200);
    assert_eq!(server.get("/v1/functions/f").await.json()["live"], json!([]));
    let made = version(&server, 2, "true").await;
    assert_eq!((live(&made), &made["live_before"]), (vec![2], &json!([])));
    call("f").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_says_where_live_was_and_keeps_a_new_note() {
    let server = Server::start().await;
    for n in 1..=2 {
        version(&server, n, "true").await;
    }
    let divided = json!([{ "version": 1, "weight": 90 }, { "version": 2, "weight": 10 }]);
    server.json("PUT", "/v1/functions/f/aliases/live", json!({ "targets": divided })).await.is(200);
    let made = version(&server, 3, "true").await;
    assert_eq!((&made["live_before"], live(&made)), (&divided, vec![3]));
    let again = form("f", wat(CAT), json!({ "function": { "description": "3" } })).text("note", "v3.1");
    let again = send(server.ask("POST", "/v1/functions").multipart(again)).await.is(200).json();
    assert_eq!((&again["created"], &again["deployment"]["note"]), (&json!(false), &json!("v3.1")));
    // Without a note the previous one stays.
    let form = form("f", wat(CAT), json!({ "function": { "description": "3" } }));
    send(server.ask("POST", "/v1/functions").multipart(form)).await.is(200);
    assert_eq!(server.get("/v1/functions/f/versions/3").await.json()["note"], "v3.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nothing_points_at_can_be_deleted() {
    let server = Server::start().await;
    for n in 1..=3 {
        version(&server, n, "true").await;
    }
    let (_, invoker) = server.token("invoker", "default").await;
    let delete = |v: u32| send(server.ask("DELETE", &format!("/v1/functions/f/versions/{v}")));
    send(server.bare("DELETE", "/v1/functions/f/versions/1").bearer_auth(invoker)).await.problem("denied");
    let problem = delete(3).await.problem("conflict");
    assert!(problem.detail.contains("`f:live`"), "{}", problem.detail);
    delete(9).await.problem("not-found");
    delete(1).await.is(204);
    delete(1).await.problem("not-found");
    let call =
        async |reference: &str| send(server.ask("POST", &format!("/v1/functions/{reference}/invoke")).body("x")).await;
    call("f@1").await.problem("not-found");
    assert_eq!(numbers(&server.get("/v1/functions/f/versions").await.json()), [2, 3]);
    // The newest version can be deleted too, and its number is not assigned again.
    server.json("POST", "/v1/functions/f/rollback", json!({})).await.is(200);
    delete(3).await.is(204);
    assert_eq!(server.get("/v1/functions/f").await.json()["latest"], 2);
    call("f:latest").await.is(200);
    let problem = delete(2).await.problem("conflict");
    assert!(problem.detail.contains("`f:live`"), "{}", problem.detail);
    send(server.ask("DELETE", "/v1/functions/f/aliases/live")).await.is(204);
    assert!(delete(2).await.problem("conflict").detail.contains("the only version"));
    assert_eq!(version(&server, 4, "true").await["deployment"]["version"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_and_the_deletion_of_its_version_at_once_leave_no_alias_on_nothing() {
    let server = Server::start().await;
    version(&server, 1, "true").await;
    for n in 2..=12 {
        let made = version(&server, n, "false").await["deployment"]["version"].clone();
        let targets = json!({ "targets": [{ "version": made, "weight": 1 }] });
        let set = server.json("PUT", "/v1/functions/f/aliases/a", targets);
        let path = format!("/v1/functions/f/versions/{made}");
        let (set, deleted) = futures::join!(set, send(server.ask("DELETE", &path)));
        let there = server.get(&path).await.status == 200;
        let aliases = server.get("/v1/functions/f/aliases").await.json();
        let points = aliases["items"].as_array().unwrap().iter().any(|a| a["targets"][0]["version"] == made);
        assert!(!points || there, "{} {}", set.status, deleted.status);
        assert_eq!(deleted.status == 204, !there, "{}", deleted.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_shares_calls_by_weight() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    server.deploy("f", wat(CAT), json!({ "function": { "description": "two" } })).await.is(201);
    let at = "/v1/functions/f/aliases/canary";
    let set = |targets: Value| server.json("PUT", at, json!({ "targets": targets }));
    set(json!([{ "version": 1, "weight": 1 }, { "version": 2, "weight": 1 }])).await.is(200);
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let called = send(server.ask("POST", "/v1/functions/f:canary/invoke").body("x")).await.is(200);
        seen.insert(called.header("fabric-version").unwrap().to_owned());
    }
    // 64 draws miss one of two equal halves with a probability of 2^-63.
    assert_eq!(seen.len(), 2);
    for (bad, code) in [
        (json!([]), "bad-request"),
        (json!([{ "version": 1, "weight": 0 }]), "bad-request"),
        (json!([{ "version": 1, "weight": 1 }, { "version": 1, "weight": 1 }]), "bad-request"),
        (json!([{ "version": 9, "weight": 1 }]), "not-found"),
    ] {
        set(bad).await.problem(code);
    }
    server
        .json("PUT", "/v1/functions/f/aliases/latest", json!({ "targets": [{ "version": 1, "weight": 1 }] }))
        .await
        .problem("bad-request");
    send(server.ask("DELETE", at)).await.is(204);
    send(server.ask("DELETE", at)).await.problem("not-found");
    send(server.ask("POST", "/v1/functions/f:canary/invoke")).await.problem("not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_function_is_gone_and_its_numbers_are_not_given_again() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    send(server.ask("DELETE", "/v1/functions/f")).await.is(204);
    for path in ["/v1/functions/f", "/v1/functions/f/versions", "/v1/functions/f/versions/1", "/v1/functions/f/aliases"]
    {
        server.get(path).await.problem("not-found");
    }
    send(server.ask("POST", "/v1/functions/f/invoke")).await.problem("not-found");
    send(server.ask("DELETE", "/v1/functions/f")).await.problem("not-found");
    let again = server.deploy("f", wat(CAT), json!({})).await.is(201).json();
    assert_eq!(again["deployment"]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploying_deleting_and_pointing_at_once_leaves_no_alias_on_a_version_that_is_gone() {
    let server = Server::start().await;
    for round in 0..12 {
        let deploy = |n: u32| {
            let more = json!({ "function": { "description": format!("{round}-{}", n / 2) } });
            server.deploy("f", wat(CAT), more)
        };
        let point = server.json(
            "PUT",
            "/v1/functions/f/aliases/a",
            json!({ "targets": [{ "version": 1 + round, "weight": 1 }] }),
        );
        let delete = send(server.ask("DELETE", "/v1/functions/f"));
        let (a, b, c, d, e) = futures::join!(deploy(0), deploy(1), deploy(2), delete, point);
        for answer in [a, b, c] {
            assert!([200, 201].contains(&answer.status), "{}", answer.text());
        }
        assert!([204, 404, 409].contains(&d.status), "{}", d.text());
        assert!([200, 404].contains(&e.status), "{}", e.text());
        let registry = &server.services.backend.registry;
        let versions: BTreeSet<u64> = registry
            .list("t/default/functions/f/versions/", None, 1000)
            .await
            .unwrap()
            .iter()
            .map(|e| e.key.rsplit('/').next().unwrap().parse().unwrap())
            .collect();
        for alias in registry.list("t/default/functions/f/aliases/", None, 1000).await.unwrap() {
            let record: Value = serde_json::from_slice(&alias.value).unwrap();
            for target in record["alias"]["targets"].as_array().unwrap() {
                assert!(versions.contains(&target["version"].as_u64().unwrap()), "{} dangles: {record}", alias.key);
            }
        }
        let called = send(server.ask("POST", "/v1/functions/f/invoke").body("x")).await;
        assert!([200, 404].contains(&called.status), "{}", called.text());
        assert_eq!(called.status == 200, server.get("/v1/functions/f").await.status == 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_deployments_say_what_is_wrong() {
    let server = Server::start().await;
    let deploy = |module: Vec<u8>, more: Value| server.deploy("f", module.into(), more);
    deploy(b"rubbish".to_vec(), json!({})).await.problem("not-wasm");
    deploy(Vec::new(), json!({})).await.problem("not-wasm");
    deploy(b"\0asm\x01\0\0\0\xff\xff".to_vec(), json!({})).await.problem("invalid-module");
    let cat = || wat(CAT).to_vec();
    let typo = deploy(cat(), json!({ "limits": { "fule": 1 } })).await.problem("invalid-manifest");
    assert!(typo.detail.contains("fule"), "{}", typo.detail);
    deploy(cat(), json!({ "params": { "type": "rubbish" } })).await.problem("invalid-manifest");
    let remote =
        deploy(cat(), json!({ "params": { "$ref": "http://example.com/s" } })).await.problem("invalid-manifest");
    assert!(remote.detail.contains("leaves the schema"), "{}", remote.detail);
    let post = |form| send(server.ask("POST", "/v1/functions").multipart(form));
    post(reqwest::multipart::Form::new().text("manifest", "[function]\nname = \"f\"")).await.problem("bad-request");
    post(form("f", wat(CAT), json!({})).text("extra", "x")).await.problem("bad-request");
    post(form("f", wat(CAT), json!({})).text("promote", "perhaps")).await.problem("bad-request");
    let huge = reqwest::multipart::Form::new().text("manifest", "#".repeat((1 << 20) + 1));
    post(huge).await.problem("too-large");
    server.get("/v1/functions/f").await.problem("not-found");
    // A valid deployment, in TOML.
    let toml = reqwest::multipart::Form::new()
        .text("manifest", "[function]\nname = \"f\"\ntags = [\"x\"]\n")
        .part("module", reqwest::multipart::Part::bytes(wat(LOOP).to_vec()));
    post(toml).await.is(201);
    let module = server.get("/v1/functions/f/versions/1/module").await.is(200);
    assert_eq!((module.header("content-type"), &module.body), (Some("application/wasm"), &wat(LOOP)));
    for (query, found) in [("q=F", 1), ("q=zz", 0), ("tag=x", 1), ("tag=y", 0), ("limit=1", 1)] {
        let page = server.get(&format!("/v1/functions?{query}")).await.is(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_the_tenant_has_is_deployed_by_its_digest() {
    let server = Server::start().await;
    let first = server.deploy("f", wat(CAT), json!({})).await.is(201).json();
    let digest = first["deployment"]["module"].as_str().unwrap().to_owned();
    let by_digest = |name: &str, digest: &str| {
        let manifest = json!({ "function": { "name": name } }).to_string();
        reqwest::multipart::Form::new().text("manifest", manifest).text("module_digest", digest.to_owned())
    };
    let post = |form| send(server.ask("POST", "/v1/functions").multipart(form));
    let second = post(by_digest("g", &digest)).await.is(201).json();
    assert_eq!(second["deployment"]["module_bytes"], first["deployment"]["module_bytes"]);
    assert_eq!(second["compile_ms"], 0);
    assert_eq!(send(server.ask("POST", "/v1/functions/g/invoke").body("x")).await.is(200).body, "x");
    // Unknown, malformed, and both at once.
    post(by_digest("h", &"0".repeat(64))).await.problem("not-found");
    post(by_digest("h", &digest[1..])).await.problem("bad-request");
    post(form("h", wat(CAT), json!({})).text("module_digest", digest.clone())).await.problem("bad-request");
    // Another tenant's module is unknown.
    let (_, other) = server.token("developer", "other").await;
    let asked = server.bare("POST", "/v1/functions").bearer_auth(other).multipart(by_digest("g", &digest));
    send(asked).await.problem("not-found");
    // A server without a Python runner.
    server.get("/v1/python-runner").await.problem("not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_where_the_page_before_ended() {
    let server = Server::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        server.deploy(name, wat(CAT), json!({})).await.is(201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/functions?limit=2{cursor}")).await.is(200).json();
        names.extend(page["items"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    for path in
        ["/v1/functions/a/versions?cursor=x", "/v1/jobs?cursor=x", "/v1/invocations?cursor=x", "/v1/logs?cursor=x"]
    {
        server.get(path).await.problem("bad-request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_a_bounded_number_of_aliases_and_can_change_those_it_has() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let set = async |name: &str| {
        let targets = json!({ "targets": [{ "version": 1, "weight": 1 }] });
        server.json("PUT", &format!("/v1/functions/f/aliases/{name}"), targets).await
    };
    // `live` is one of them.
    for n in 1..100 {
        set(&format!("a{n}")).await.is(200);
    }
    let problem = set("one-more").await.problem("conflict");
    assert!(problem.detail.contains("100 aliases"), "{problem:?}");
    set("a1").await.is(200);
    send(server.ask("DELETE", "/v1/functions/f/aliases/a1")).await.is(204);
    set("one-more").await.is(200);
}
