//! Tenants, tokens and roles: isolation in every route, every spelling of a path and every slot.

use fabric_api::token::NewToken;
use fabric_client::{Client, DeployRequest, InvokeRequest, LogQuery, UploadOptions};
use fabric_tests::{Options, Server, built, hostile, manifest};
use fabric_types::{
    Code,
    job::{JobSpec, JobState},
    rest::token::Role,
};
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn spec(json: serde_json::Value) -> JobSpec {
    serde_json::from_value(json).unwrap()
}

async fn deploy(client: &Client, name: &str, module: bytes::Bytes, more: &str) {
    client.deploy(&DeployRequest::new(manifest(name, more), module)).await.unwrap();
}

async fn put(client: &Client, path: &str, text: &str) {
    client.put_bytes(path, text.to_owned(), &UploadOptions::default()).await.unwrap();
}

/// The items of a tenant.
struct Belongings {
    job: String,
    invocation: String,
}

async fn furnish(client: &Client) -> Belongings {
    deploy(client, "noop", built("noop"), "").await;
    deploy(client, "web", built("http-hello"), "").await;
    put(client, "data/secret.csv", "a,b\n1,2\n").await;
    let body = serde_json::json!({"function": "noop", "input": {"objects": {"path": "data/secret.csv"}}});
    let job = client.submit(&spec(body), None).await.unwrap();
    assert_eq!(client.wait_job(job.id.as_str()).await.unwrap().state, JobState::Succeeded);
    let invocation = client.invoke_async("noop", InvokeRequest::new("secret")).await.unwrap();
    client.invocation(invocation.id.as_str(), Some(Duration::from_secs(60))).await.unwrap();
    Belongings { job: job.id.to_string(), invocation: invocation.id.to_string() }
}

/// Returns every route to an item of a tenant, with the role that it requires.
fn routes(of: &Belongings) -> Vec<(&'static str, String, Role, &'static str)> {
    use Role::{Developer, Invoker};
    let Belongings { job, invocation } = of;
    vec![
        ("GET", "/v1/functions/noop".into(), Developer, ""),
        ("GET", "/v1/functions/noop/versions".into(), Developer, ""),
        ("GET", "/v1/functions/noop/versions/1".into(), Developer, ""),
        ("GET", "/v1/functions/noop/versions/1/module".into(), Developer, ""),
        ("GET", "/v1/functions/noop/aliases".into(), Developer, ""),
        ("PUT", "/v1/functions/noop/aliases/mine".into(), Developer, r#"{"targets":[{"version":1,"weight":1}]}"#),
        ("POST", "/v1/functions/noop/rollback".into(), Developer, r#"{"to":1}"#),
        ("POST", "/v1/functions/noop/invoke".into(), Invoker, "x"),
        ("GET", format!("/v1/invocations/{invocation}"), Invoker, ""),
        ("GET", format!("/v1/invocations/{invocation}/result"), Invoker, ""),
        ("GET", format!("/v1/jobs/{job}"), Developer, ""),
        ("GET", format!("/v1/jobs/{job}/tasks"), Developer, ""),
        ("GET", format!("/v1/jobs/{job}/result"), Developer, ""),
        ("GET", format!("/v1/jobs/{job}/result/0"), Developer, ""),
        ("GET", format!("/v1/jobs/{job}/results"), Developer, ""),
        ("GET", format!("/v1/jobs/{job}/events"), Developer, ""),
        ("POST", format!("/v1/jobs/{job}/audit"), Developer, ""),
        ("GET", "/v1/objects/data/secret.csv".into(), Developer, ""),
        ("GET", "/f/TENANT/web/".into(), Invoker, ""),
        // Deletions come last.
        ("DELETE", "/v1/objects/data/secret.csv".into(), Developer, ""),
        ("DELETE", format!("/v1/jobs/{job}"), Developer, ""),
        ("POST", format!("/v1/jobs/{job}/restore"), Developer, ""),
        ("DELETE", "/v1/functions/noop/aliases/mine".into(), Developer, ""),
        ("DELETE", "/v1/functions/noop".into(), Developer, ""),
    ]
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another_in_any_route() {
    let server = Server::start(Options::default()).await;
    let (acme, umbra) = (server.token("acme", Role::TenantAdmin).await, server.token("umbra", Role::TenantAdmin).await);
    let invoker = server.token("acme", Role::Invoker).await;
    let of_acme = furnish(&server.client_with(&acme)).await;
    let other = server.client_with(&umbra);
    let mut wrong = Vec::new();
    let mut check = |what: String, wanted: u16, answer: fabric_tests::Answer| {
        if answer.status != wanted {
            wrong.push(format!("{what}: {} instead of {wanted}: {}", answer.status, answer.text));
        }
        assert!(!answer.text.contains("1,2"), "{what}: {}", answer.text);
    };
    for (method, path, role, body) in routes(&of_acme) {
        let path = path.replace("TENANT", "acme");
        let idempotent = |token: Option<String>| {
            let server = &server;
            let path = path.clone();
            async move { server.raw(method, &path, token.as_deref(), body).await }
        };
        // Another tenant's token receives 404 for every item, and a request without a token 401.
        check(format!("{method} {path} by another tenant"), 404, idempotent(Some(umbra.clone())).await);
        check(format!("{method} {path} by nobody"), 401, idempotent(None).await);
        check(format!("{method} {path} with a made-up token"), 401, idempotent(Some("fab_0000".to_owned())).await);
        if role > Role::Invoker {
            check(format!("{method} {path} by an invoker"), 403, idempotent(Some(invoker.clone())).await);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // The other tenant's own lists are empty.
    assert!(other.functions(&Default::default()).await.unwrap().items.is_empty());
    assert!(other.jobs(&Default::default()).await.unwrap().items.is_empty());
    assert!(other.invocations(&Default::default()).await.unwrap().items.is_empty());
    assert!(other.objects(&Default::default()).await.unwrap().items.is_empty());
    assert!(other.logs(&LogQuery::default()).await.unwrap().items.is_empty());
    let of_job = LogQuery { job: Some(of_acme.job.parse().unwrap()), ..LogQuery::default() };
    assert!(other.logs(&of_job).await.unwrap().items.is_empty());
    let usage = other.usage(None, None).await.unwrap();
    assert_eq!((usage.total.invocations, usage.object_bytes), (0, 0));
    assert!(usage.functions.is_empty());
    // Full-text search does not find another tenant's jobs.
    let searched = fabric_client::JobQuery { q: Some("noop".into()), ..Default::default() };
    assert!(other.jobs(&searched).await.unwrap().items.is_empty());
    // The owner's token works for every route: none of the requests above changed anything.
    for (method, path, _, body) in routes(&of_acme) {
        let path = path.replace("TENANT", "acme");
        let answer = server.raw(method, &path, Some(&acme), body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn only_an_admin_acts_in_another_tenant() {
    let server = Server::start(Options::default()).await;
    let acme = server.token("acme", Role::TenantAdmin).await;
    put(&server.client_with(&acme), "mine", "x").await;
    let admin = server.client_in("acme");
    assert_eq!(admin.get("mine", &Default::default()).await.unwrap().bytes(MIB).await.unwrap(), "x");
    let umbra = server.token("umbra", Role::TenantAdmin).await;
    let options = fabric_client::Options::new(server.url()).token(&umbra).tenant("acme").attempts(1);
    let denied = Client::new(options).unwrap().get("mine", &Default::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::Denied);
}

#[tokio::test]
async fn roles_hold_and_tokens_end() {
    let server = Server::start(Options::default()).await;
    let made = |role, tenant: Option<&str>| NewToken {
        name: "made".into(),
        tenant: tenant.map(|t| t.parse().unwrap()),
        role,
        ttl_s: None,
    };
    let developer = server.client_with(&server.token("acme", Role::Developer).await);
    let tenant_admin = server.client_with(&server.token("acme", Role::TenantAdmin).await);
    assert_eq!(developer.create_token(&made(Role::Invoker, None)).await.unwrap_err().code(), Code::Denied);
    for (role, tenant) in [(Role::Admin, None), (Role::Invoker, Some("umbra")), (Role::Developer, Some("default"))] {
        let error = tenant_admin.create_token(&made(role, tenant)).await.expect_err("more than its own");
        assert_eq!(error.code(), Code::Denied, "{role:?} {tenant:?}");
    }
    let created = tenant_admin.create_token(&made(Role::Invoker, None)).await.unwrap();
    let invoker = server.client_with(&created.secret);
    assert_eq!(invoker.whoami().await.unwrap().tenant.as_str(), "acme");
    // A list contains tokens but never a secret.
    let listed = serde_json::to_string(&tenant_admin.tokens(&Default::default()).await.unwrap()).unwrap();
    assert!(listed.contains(&created.token.id) && !listed.contains(&created.secret));
    assert!(!listed.contains("admin of process"), "another tenant's tokens are not listed: {listed}");
    tenant_admin.revoke_token(&created.token.id).await.unwrap();
    assert_eq!(invoker.whoami().await.unwrap_err().code(), Code::Unauthenticated);
    // A token with an expiry stops working at that time.
    let short = NewToken { ttl_s: Some(1), ..made(Role::Invoker, None) };
    let short = server.client_with(&tenant_admin.create_token(&short).await.unwrap().secret);
    fabric_tests::until("the token expires", async || {
        short.whoami().await.is_err_and(|e| e.code() == Code::Unauthenticated)
    })
    .await;
}

#[tokio::test]
async fn secrets_are_nowhere_on_the_disk_but_in_the_admins_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start(Options::default()).await;
    let secrets = [server.token("acme", Role::Developer).await, server.admin().to_owned()];
    let data = server.folder().join("data");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data.join("admin-token")), 0o600);
    assert_eq!(mode(data.clone()), 0o700);
    let mut waiting = vec![data.clone()];
    let mut files = 0;
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.is_file() && path != data.join("admin-token") {
                let bytes = std::fs::read(&path).unwrap();
                files += 1;
                for secret in &secrets {
                    let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                    assert!(!found, "a secret is in {}", path.display());
                }
            }
        }
    }
    assert!(files > 2, "the databases were searched");
    for secret in &secrets {
        assert!(!server.log().contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn a_result_kept_for_one_tenant_is_not_given_to_another() {
    let server = Server::start(Options::default()).await;
    let mut cached = Vec::new();
    for tenant in ["acme", "umbra"] {
        let client = server.client_with(&server.token(tenant, Role::Developer).await);
        deploy(&client, "noop", built("noop"), "").await;
        deploy(&client, "montecarlo-pi", built("montecarlo-pi"), "").await;
        let job = serde_json::json!({"function": "montecarlo-pi", "input": {"items": [{"seed": 1, "samples": 10}]}});
        for _ in 0..2 {
            let answer = client.invoke("noop", InvokeRequest::new("the same")).await.unwrap();
            let id = client.submit(&spec(job.clone()), None).await.unwrap().id;
            cached.push((answer.cached, client.wait_job(id.as_str()).await.unwrap().tasks.cached));
        }
    }
    // Neither latency nor cost reveals that another tenant has computed the same result.
    assert_eq!(cached, [(false, 0), (true, 1), (false, 0), (true, 1)]);
}

#[tokio::test]
async fn a_job_reads_its_own_tenants_objects_only() {
    let server = Server::start(Options::default()).await;
    put(&server.client_in("acme"), "data/secret", "secret").await;
    let client = server.client_with(&server.token("umbra", Role::Developer).await);
    deploy(&client, "noop", built("noop"), "").await;
    put(&client, "own", "x").await;
    for path in [
        "data/secret",
        "data/",
        "../acme/data/secret",
        "own/../../acme/data/secret",
        "/acme/data/secret",
        "..\\acme\\data\\secret",
        "acme/data/secret",
        "own\0",
    ] {
        let body = serde_json::json!({"function": "noop", "input": {"objects": {"path": path}}});
        let error = client.submit(&spec(body), None).await.expect_err(path);
        assert!(
            matches!(error.code(), Code::NotFound | Code::InvalidPath | Code::InvalidInputSpec),
            "{path:?}: {error:?}"
        );
        // A result is not written there either.
        let body = serde_json::json!({"function": "noop", "input": {"items": [1]}, "output": path});
        if path.contains("..") || path.contains('\0') || path.starts_with('/') {
            let refused = match client.submit(&spec(body), None).await {
                Err(error) => error.code(),
                Ok(job) => client.wait_job(job.id.as_str()).await.unwrap().error.map_or(Code::Internal, |e| e.code),
            };
            assert_eq!(refused, Code::InvalidPath, "{path:?}");
        }
    }
}

#[tokio::test]
async fn no_spelling_of_an_object_path_leaves_the_tenant() {
    let server = Server::start(Options::default()).await;
    put(&server.client_in("acme"), "secret", "the secret of acme").await;
    let umbra = server.token("umbra", Role::Developer).await;
    let client = server.client_with(&umbra);
    put(&client, "own/file", "own").await;
    let climbing = [
        "..",
        ".",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e",
        "..%2f",
        "..%5c",
        "%2e%2e%2f",
        "%2e%2e%5c",
        "..\\",
        "%5c..%5c",
        "..;",
        "%c0%ae%c0%ae",
        "%252e%252e",
        "..%00",
        "%00",
        "%ef%bc%8e%ef%bc%8e",
        "\u{ff0e}\u{ff0e}",
        "..%0a",
        "%0d%0a",
        "%e2%80%ae..",
        "....//",
        "..%u2215",
        "..%ef%bc%8f",
    ];
    let mut wrong = Vec::new();
    for step in climbing {
        for target in [
            format!("/v1/objects/{step}/acme/secret"),
            format!("/v1/objects/own/{step}/{step}/acme/secret"),
            format!("/v1/objects/own/file/{step}/{step}/{step}/{step}/acme/secret"),
            format!("/v1/objects//{step}/{step}/admin-token"),
            format!("/v1/objects/{step}{step}{step}admin-token"),
        ] {
            for method in ["GET", "HEAD", "DELETE"] {
                let answer = server.raw(method, &target, Some(&umbra), "").await;
                // An odd but harmless name may exist already: written below, in the tenant's own space.
                let told = answer.text.contains("the secret") || answer.text.contains(server.admin());
                let own = answer.text.ends_with("planted") || method != "GET";
                if told || !(matches!(answer.status, 400 | 404) || answer.status < 300 && own) {
                    wrong.push(format!("{method} {target}: {}", answer.text));
                }
            }
            // A write may succeed if the spelling is an odd but harmless name in the tenant's own space.
            let answer = server.raw("PUT", &target, Some(&umbra), "planted").await;
            if !matches!(answer.status, 200 | 201 | 400 | 404) {
                wrong.push(format!("PUT {target}: {}", answer.text));
            }
        }
    }
    for target in [
        "/v1/objects/",
        "/v1/objects//",
        "/v1/objects/own//file",
        "/v1/objects/own/",
        "/v1/objects/%00",
        "/v1/objects/a%0ab",
    ] {
        let answer = server.raw("PUT", target, Some(&umbra), "x").await;
        if answer.status < 400 || answer.status >= 500 {
            wrong.push(format!("PUT {target}: {}", answer.text));
        }
    }
    for query in
        ["prefix=../", "prefix=..%2facme", "prefix=/", "prefix=%2e%2e/acme/&delimiter=/", "prefix=own/../../acme/"]
    {
        let answer = server.raw("GET", format!("/v1/objects?{query}"), Some(&umbra), "").await;
        if answer.text.contains("secret") || answer.status >= 500 {
            wrong.push(format!("GET ?{query}: {}", answer.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let acme = server.client_in("acme");
    let objects = acme.objects(&Default::default()).await.unwrap().items;
    assert_eq!(objects.len(), 1, "nothing was planted: {objects:?}");
    assert_eq!(acme.get("secret", &Default::default()).await.unwrap().bytes(MIB).await.unwrap(), "the secret of acme");
    let token = std::fs::read_to_string(server.folder().join("data/admin-token")).unwrap();
    assert_eq!(token.trim(), server.admin());
    let folders: Vec<_> = std::fs::read_dir(server.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(folders.iter().all(|name| name == "data" || name == "server.log" || name == "config"), "{folders:?}");
}

#[tokio::test]
async fn http_functions_ask_for_a_token_unless_public_and_never_see_one() {
    let server = Server::start(Options::default()).await;
    server.example("http-hello").await;
    deploy(server.client(), "public", built("http-hello"), "public = true").await;
    let get = async |path: &str, token: Option<&str>| server.raw("GET", path, token, "").await.status;
    assert_eq!(get("/f/default/public/x?y=1", None).await, 200);
    assert_eq!(get("/f/default/http-hello/", None).await, 401);
    // The response does not reveal the existence of a function.
    assert_eq!(get("/f/default/absent/", None).await, 401);
    let stranger = server.token("umbra", Role::Developer).await;
    assert_eq!(get("/f/default/http-hello/", Some(&stranger)).await, 404);
    let invoker = server.token("default", Role::Invoker).await;
    assert_eq!(get("/f/default/http-hello/", Some(&invoker)).await, 200);
}

/// Instances of two tenants use the pool's slots in turn, with the same module and with different ones.
#[tokio::test]
async fn bytes_of_one_tenants_instance_are_never_seen_by_the_next_in_its_slot() {
    // There are more concurrent calls than slots. The long wait lets each run, even on a busy machine.
    let mut options = Options::slots(2);
    options.args.extend(["--slot-wait".to_owned(), "600".to_owned()]);
    let server = Server::start(options).await;
    let pool = 192;
    let limits = format!("[limits]\nconcurrency = {pool}");
    let text = std::fs::read_to_string(fabric_tests::repository().join("examples/hostile/canary.wat")).unwrap();
    let end = text.rfind(')').unwrap();
    let different: bytes::Bytes = wat::parse_str(format!("{} (func $other))", &text[..end])).unwrap().into();
    let mut clients = Vec::new();
    for tenant in ["acme", "umbra"] {
        let client = server.client_in(tenant);
        deploy(&client, "same", hostile("canary"), &limits).await;
        deploy(&client, "different", if tenant == "acme" { hostile("canary") } else { different.clone() }, &limits)
            .await;
        clients.push(client);
    }
    let canary = async |client: &Client, function: &str, body: String| {
        let answer = client.invoke(function, InvokeRequest::new(body)).await.unwrap();
        assert!(!answer.cached);
        assert_eq!(answer.body.bytes(MIB).await.unwrap(), "0", "an instance read data of an earlier instance");
    };
    // Sequential calls: the second instance uses the slot that the first has freed.
    for round in 0..8 {
        for client in &clients {
            canary(client, "same", format!("one {round}")).await;
        }
    }
    // Concurrent calls: acme's instances mark every slot of the pool before umbra's instances use them.
    for function in ["same", "different"] {
        for client in &clients {
            let calls = (0..pool).map(|n| canary(client, function, format!("{function} {n}")));
            futures::future::join_all(calls).await;
        }
    }
}
