//! Http functions: what the guest sees, and who may call it.

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
    // Without a token, what is there and what isn't look the same.
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
    // Called as a function it is sent `POST /`; its answer must do no harm on the API's own origin.
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
