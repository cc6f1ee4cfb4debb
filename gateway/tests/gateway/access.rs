//! Access: roles, tenants, revocation, expiry; and the router's answers to unknown routes.

use crate::support::{CAT, Server, send, wat};
use fabric_backend::registry::Precondition;
use fabric_gateway::access::{RequiredAccess, TABLE};
use fabric_types::rest::token::Role;
use serde_json::{Value, json};

/// Returns a path of a route, with names that do not exist.
fn address(route: &str) -> String {
    route
        .replace("/jobs/{id}", "/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("/invocations/{id}", "/invocations/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{id}", "0123456789abcdef")
        .replace("{f}", "nothing")
        .replace("{a}", "live")
        .replace("{v}", "1")
        .replace("/nodes/{n}", "/nodes/nowhere")
        .replace("{t}", "default")
        .replace("{n}", "0")
        .replace("{*path}", "some/object")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_its_role_and_no_more() {
    let server = Server::start().await;
    let mut tokens = vec![(None, None)];
    for (name, role) in [
        ("invoker", Role::Invoker),
        ("developer", Role::Developer),
        ("tenant-admin", Role::TenantAdmin),
        ("admin", Role::Admin),
    ] {
        tokens.push((Some(role), Some(server.token(name, "default").await.1)));
    }
    for (method, route, access) in TABLE {
        for (role, secret) in &tokens {
            let mut request = server.bare(method, &address(route));
            if let Some(secret) = secret {
                request = request.bearer_auth(secret);
            }
            let answer = send(request).await;
            let what = format!("{method} {route} as {role:?}: {} {}", answer.status, answer.text());
            let expected = match (access, role) {
                (RequiredAccess::Open, _) | (RequiredAccess::LoopbackOrAdmin, None) => None,
                (RequiredAccess::LoopbackOrAdmin, Some(role)) => (*role < Role::Admin).then_some("denied"),
                (RequiredAccess::Role(_), None) => Some("unauthenticated"),
                (RequiredAccess::Role(least), Some(role)) => (role < least).then_some("denied"),
            };
            match expected {
                Some(code) => {
                    answer.problem(code);
                }
                None => assert!(![401, 403].contains(&answer.status) && answer.status < 500, "{what}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_nothing_of_another() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    send(server.ask("PUT", "/v1/objects/a").body("x")).await.is(201);
    let called = send(server.ask("POST", "/v1/functions/f/invoke?mode=async").body("x")).await.is(202);
    let id = called.json()["id"].as_str().unwrap().to_owned();
    server.get(&format!("/v1/invocations/{id}?wait=60")).await.is(200);
    let (_, other) = server.token("tenant-admin", "other").await;
    for (method, path) in [
        ("GET", "/v1/functions/f".to_owned()),
        ("DELETE", "/v1/functions/f".to_owned()),
        ("POST", "/v1/functions/f/invoke".to_owned()),
        ("GET", "/v1/objects/a".to_owned()),
        ("DELETE", "/v1/objects/a".to_owned()),
        ("GET", format!("/v1/invocations/{id}")),
        ("GET", format!("/v1/invocations/{id}/result")),
        ("POST", format!("/v1/invocations/{id}/cancel")),
        ("GET", format!("/v1/jobs/{id}")),
        ("GET", format!("/v1/jobs/{id}/events")),
        ("DELETE", format!("/v1/jobs/{id}")),
        ("GET", "/f/default/f/".to_owned()),
    ] {
        let answer = send(server.bare(method, &path).bearer_auth(&other)).await;
        if method == "DELETE" && path.starts_with("/v1/objects") {
            // Deleting an object that does not exist is not an error; the other tenant's object stays.
            assert!([204, 404].contains(&answer.status));
        } else {
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        }
    }
    for path in ["/v1/functions", "/v1/objects", "/v1/jobs", "/v1/invocations", "/v1/logs"] {
        let page = send(server.bare("GET", path).bearer_auth(&other)).await.is(200);
        assert_eq!(page.json()["items"], json!([]), "{path}");
    }
    send(server.bare("GET", "/v1/functions").bearer_auth(&other).header("fabric-tenant", "default"))
        .await
        .problem("denied");
    server.get("/v1/objects/a").await.is(200);
    let seen = send(server.ask("GET", "/v1/functions").header("fabric-tenant", "other")).await.is(200);
    assert_eq!(seen.json()["items"], json!([]));
    send(server.ask("GET", "/v1/functions").header("fabric-tenant", "No!")).await.problem("bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_stops_at_once_and_an_expired_one_never_works() {
    let server = Server::start().await;
    let (id, secret) = server.token("developer", "default").await;
    let who = || send(server.bare("GET", "/v1/whoami").bearer_auth(&secret));
    assert_eq!(who().await.is(200).json()["role"], "developer");
    send(server.ask("DELETE", &format!("/v1/tokens/{id}"))).await.is(204);
    who().await.problem("unauthenticated");
    send(server.ask("DELETE", &format!("/v1/tokens/{id}"))).await.problem("not-found");

    let made = server.json("POST", "/v1/tokens", json!({ "name": "short", "role": "invoker", "ttl_s": 1000 })).await;
    let made = made.is(201).json();
    let key = format!("sys/tokens/{}", made["token"]["id"].as_str().unwrap());
    let registry = &server.services.backend.registry;
    let entry = registry.get(&key).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&entry.value).contains(made["secret"].as_str().unwrap()), "kept as a hash only");
    let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
    record["token"]["expires_ms"] = json!(1);
    registry.put(&key, record.to_string().into(), Precondition::Revision(entry.revision)).await.unwrap();
    let late = send(server.bare("GET", "/v1/whoami").bearer_auth(made["secret"].as_str().unwrap())).await;
    late.problem("unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_or_revokes_a_token_above_its_own() {
    let server = Server::start().await;
    let (_, secret) = server.token("tenant-admin", "default").await;
    let make = |body: Value| {
        let request = server.bare("POST", "/v1/tokens").bearer_auth(&secret);
        send(request.header("content-type", "application/json").body(body.to_string()))
    };
    make(json!({ "name": "x", "role": "admin" })).await.problem("denied");
    make(json!({ "name": "x", "role": "invoker", "tenant": "other" })).await.problem("denied");
    make(json!({ "name": "", "role": "invoker" })).await.problem("bad-request");
    make(json!({ "name": "x", "role": "invoker", "ttl_s": 0 })).await.problem("bad-request");
    make(json!({ "name": "x", "role": "invoker" })).await.is(201);
    let (admin, _) = server.token("admin", "default").await;
    let answer = send(server.bare("DELETE", &format!("/v1/tokens/{admin}")).bearer_auth(&secret)).await;
    answer.problem("denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoker_sees_its_own_calls_and_no_others() {
    let server = Server::start().await;
    server.deploy("f", wat(CAT), json!({})).await.is(201);
    let (_, mine) = server.token("invoker", "default").await;
    let (_, other) = server.token("invoker", "default").await;
    for mode in ["sync", "async"] {
        let call = server.bare("POST", &format!("/v1/functions/f/invoke?mode={mode}")).bearer_auth(&mine).body("x");
        let id = send(call).await.header("fabric-invocation-id").unwrap().to_owned();
        let logs = format!("/v1/invocations/{id}/logs");
        send(server.bare("GET", &logs).bearer_auth(&mine)).await.is(200);
        send(server.bare("GET", &logs).bearer_auth(&other)).await.problem("not-found");
        send(server.ask("GET", &logs)).await.is(200);
        if mode == "async" {
            let at = format!("/v1/invocations/{id}");
            send(server.bare("GET", &format!("{at}?wait=60")).bearer_auth(&mine)).await.is(200);
            send(server.bare("GET", &format!("{at}/result")).bearer_auth(&mine)).await.is(200);
            for (method, path) in
                [("GET", at.clone()), ("GET", format!("{at}/result")), ("POST", format!("{at}/cancel"))]
            {
                send(server.bare(method, &path).bearer_auth(&other)).await.problem("not-found");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_router_does_not_know_is_a_problem_too() {
    let server = Server::start().await;
    for path in ["/", "/nope", "/v1", "/v1/", "/v1/nope", "/v1/functions/", "/v1/functions/f/nope", "/v1//functions"] {
        server.get(path).await.problem("not-found");
    }
    for (method, path, allow) in
        [("PATCH", "/v1/functions", "POST, GET"), ("POST", "/healthz", "GET"), ("PUT", "/v1/jobs", "POST, GET, DELETE")]
    {
        let answer = send(server.ask(method, path)).await;
        answer.problem("method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for (method, path) in [("POST", "/v1/tokens"), ("POST", "/v1/jobs"), ("POST", "/v1/functions")] {
        let answer = send(server.ask(method, path).header("content-type", "text/html").body("<p>")).await;
        answer.problem("unsupported-media-type");
    }
    let unauthenticated = send(server.bare("GET", "/v1/whoami").header("authorization", "Basic eDp5")).await;
    unauthenticated.problem("unauthenticated");
    assert_eq!(unauthenticated.header("www-authenticate"), Some("Bearer"));
    let broken =
        send(server.ask("POST", "/v1/tokens").header("content-type", "application/json").body("{\n  \"name\": x"))
            .await;
    let detail = broken.problem("bad-request").detail;
    assert!(detail.contains("line 2, column 11"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_loopback_names_and_admins() {
    let server = Server::start().await;
    let plain = send(server.bare("GET", "/metrics")).await.is(200);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text().contains("fabric_http_requests_in_flight"));
    let open =
        send(server.bare("GET", "/metrics").header("accept", "application/openmetrics-text; version=1.0.0")).await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    // A page with a name that was made to point at loopback.
    send(server.bare("GET", "/metrics").header("host", "evil.example")).await.problem("unauthenticated");
    assert_eq!(send(server.bare("GET", "/readyz")).await.is(200).text(), "ready\n");
}
