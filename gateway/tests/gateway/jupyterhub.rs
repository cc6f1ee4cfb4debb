//! Users of a JupyterHub, with a Hub that sends arbitrary answers. The Python client's tests use a real one.

use crate::support::{Answer, Server, send};
use fabric_gateway::{
    JupyterHub,
    jupyterhub::{Options, Rule},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A Hub that sends every request the same answer.
struct Hub {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
    seen: Arc<Mutex<String>>,
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut all =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n").into_bytes();
    all.extend_from_slice(body);
    all
}

fn user(about: &Value) -> Vec<u8> {
    http("200 OK", "", about.to_string().as_bytes())
}

fn alice() -> Value {
    json!({"kind": "user", "name": "alice", "admin": false, "groups": ["astro"], "scopes": ["access:services!service=fabric"]})
}

impl Hub {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hub/api", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(user(&alice())));
        let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let (give, count, see) = (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                count.fetch_add(1, Ordering::SeqCst);
                *see.lock() = String::from_utf8(head).unwrap();
                let answer = give.lock().clone();
                // The gateway disconnects on an answer that is too long.
                let _ = stream.write_all(&answer).await;
            }
        });
        Self { url, answer, asked, seen }
    }

    async fn gateway(&self, rules: &[&str], cache_ttl: Duration) -> Server {
        let rules = rules.iter().map(|rule| rule.parse::<Rule>().unwrap()).collect();
        let options = Options { api: self.url.clone(), service: "fabric".to_owned(), rules, cache_ttl };
        Server::of_hub(JupyterHub::new(options).unwrap()).await
    }

    fn answers(&self, answer: Vec<u8>) {
        *self.answer.lock() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

const LONG: Duration = Duration::from_secs(3600);

async fn whoami(server: &Server, token: &str) -> Answer {
    send(server.bare("GET", "/v1/whoami").bearer_auth(token)).await
}

#[tokio::test]
async fn a_user_gets_the_tenant_and_role_of_the_first_rule_that_fits() {
    let hub = Hub::start().await;
    let rules = ["admins=ops/admin", "group:astro=astro/developer", "everyone=hub-{user}/invoker"];
    let server = hub.gateway(&rules, LONG).await;
    let me = whoami(&server, TOKEN).await.is(200).json();
    assert_eq!(me, json!({"name": "alice of JupyterHub", "tenant": "astro", "role": "developer"}));
    let seen = hub.seen.lock().clone();
    assert!(seen.starts_with("GET /hub/api/user HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: token {TOKEN}\r\n")), "{seen}");

    // In the form of Jupyter clients, with the limits of the role.
    let ask = |method: &str, path: &str| {
        let value = format!("token {TOKEN}");
        send(server.bare(method, path).header("authorization", value))
    };
    ask("GET", "/v1/functions").await.is(200);
    ask("GET", "/v1/tokens").await.is(403).problem("denied");
    ask("GET", "/v1/tenants").await.is(403).problem("denied");
    let other = server.bare("GET", "/v1/functions").bearer_auth(TOKEN).header("fabric-tenant", "default");
    send(other).await.is(403).problem("denied");

    for (about, tenant, role) in [
        (json!({"name": "bob", "groups": []}), "hub-bob", "invoker"),
        (json!({"name": "root", "admin": true}), "ops", "admin"),
    ] {
        let mut answer = alice();
        answer.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        hub.answers(user(&answer));
        let token = format!("{:032x}", hub.asked());
        let me = whoami(&server, &token).await.is(200).json();
        assert_eq!((&me["tenant"], &me["role"]), (&json!(tenant), &json!(role)));
    }
}

#[tokio::test]
async fn the_hub_is_asked_once_and_its_word_believed_for_a_while() {
    let hub = Hub::start().await;
    let server = hub.gateway(&["everyone=hub-{user}/developer"], LONG).await;
    let all = futures::future::join_all((0..20).map(|_| whoami(&server, TOKEN))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert_eq!(hub.asked(), 1, "twenty requests at once");
    // A changed answer of the Hub has no effect while the cached one is valid.
    hub.answers(http("403 Forbidden", "", b"{}"));
    whoami(&server, TOKEN).await.is(200);
    assert_eq!(hub.asked(), 1);

    let short = hub.gateway(&["everyone=hub-{user}/developer"], Duration::from_millis(1)).await;
    whoami(&short, TOKEN).await.is(401).problem("unauthenticated");
    hub.answers(user(&alice()));
    while whoami(&short, TOKEN).await.status != 200 {}
    hub.answers(http("403 Forbidden", "", b"{}"));
    while whoami(&short, TOKEN).await.status != 401 {}
}

#[tokio::test]
async fn who_is_not_let_in_learns_why() {
    let hub = Hub::start().await;
    let server = hub.gateway(&["group:astro=astro/developer"], LONG).await;
    let mut token = 0u64;
    let mut refused = async |about: Value, status: u16, code: &str, says: &str| {
        let mut answer = alice();
        answer.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        hub.answers(user(&answer));
        token += 1;
        let problem = whoami(&server, &format!("{token:032x}")).await.is(status).problem(code);
        let text = format!("{} {}", problem.detail, problem.hint.unwrap_or_default());
        assert!(text.contains(says), "{text}");
    };
    refused(json!({"scopes": ["access:services!service=other"]}), 403, "denied", "access:services!service=fabric")
        .await;
    refused(json!({"kind": "service"}), 403, "denied", "token create").await;
    refused(json!({"groups": []}), 403, "denied", "--jupyterhub-map").await;
    hub.answers(http("403 Forbidden", "", b"{\"status\": 403}"));
    whoami(&server, &"e".repeat(32)).await.is(401).problem("unauthenticated");

    // Text that cannot be a token of a Hub is not sent to the Hub.
    let asked = hub.asked();
    for rubbish in ["x", "ABCDEF", &"a".repeat(5000), &format!("fab_{}_{}", "0".repeat(16), "A".repeat(43))] {
        whoami(&server, rubbish).await.is(401).problem("unauthenticated");
    }
    assert_eq!(hub.asked(), asked);
}

#[tokio::test]
async fn a_hub_that_misbehaves_lets_nobody_in_and_harms_nobody() {
    let hub = Hub::start().await;
    let server = hub.gateway(&["everyone=t/admin"], LONG).await;
    let elsewhere = Hub::start().await;
    let away = format!("location: {}/user\r\n", elsewhere.url);
    let mut long = alice();
    long["groups"] = json!(["x".repeat(2 << 20)]);
    for (answer, what) in [
        (http("302 Found", &away, b""), "a redirect"),
        (http("500 Internal Server Error", "", b"{}"), "an error"),
        (http("200 OK", "", b"<html>login</html>"), "a page"),
        (http("200 OK", "", b"{\"kind\": \"user\"}"), "no name"),
        (user(&long), "too much"),
        (b"SSH-2.0-rubbish\r\n\r\n".to_vec(), "not HTTP"),
        (Vec::new(), "nothing"),
    ] {
        hub.answers(answer);
        let answer = whoami(&server, TOKEN).await;
        assert_eq!(answer.status, 503, "{what}");
        answer.problem("unavailable");
        assert!(answer.header("retry-after").is_some());
        server.get("/v1/whoami").await.is(200);
    }
    assert_eq!(elsewhere.asked(), 0, "the token went where a redirect led");
    hub.answers(user(&alice()));
    whoami(&server, TOKEN).await.is(200);
}

#[tokio::test]
async fn a_users_calls_are_the_users_whichever_token_made_them() {
    let hub = Hub::start().await;
    let server = hub.gateway(&["everyone=default/invoker"], LONG).await;
    server.deploy("noop", crate::support::guest("noop"), json!({})).await.is(201);
    let invoke = server.bare("POST", "/v1/functions/noop/invoke").bearer_auth(TOKEN).body("x");
    let id = send(invoke).await.is(200).header("fabric-invocation-id").unwrap().to_owned();
    let logs = format!("/v1/invocations/{id}/logs");
    let as_other = |token: &str| send(server.bare("GET", &logs).bearer_auth(token));
    as_other(&"a".repeat(32)).await.is(200);
    let mut bob = alice();
    bob["name"] = json!("bob");
    hub.answers(user(&bob));
    as_other(&"b".repeat(32)).await.is(404);
}
