//! The Python runner of a server. Another module stands for it: the server treats it as any module.

use fabric_client::InvokeRequest;
use fabric_tests::{Options, Server, cat, until};
use serde_json::{Value, json};

/// Deploys a module by its digest in a tenant, with grants. Returns the status and the answer.
async fn deploy(server: &Server, token: &str, name: &str, grants: &Value, digest: &str) -> (u16, Value) {
    let manifest = json!({ "function": { "name": name }, "grants": grants }).to_string();
    let form = reqwest::multipart::Form::new().text("manifest", manifest).text("module_digest", digest.to_owned());
    let url = format!("{}/v1/functions", server.url());
    let answer = reqwest::Client::new().post(url).bearer_auth(token).multipart(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_runner_is_compiled_in_the_background_and_deployed_by_its_digest_in_any_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("python-runner.wasm");
    std::fs::write(&file, cat()).unwrap();
    let options = || Options { args: vec!["--python-runner".to_owned(), file.display().to_string()] };
    let mut server = Server::start(options()).await;
    let about = async |server: &Server| -> Value {
        let url = format!("{}/v1/python-runner", server.url());
        let answer = reqwest::Client::new().get(url).bearer_auth(server.admin()).send().await.unwrap();
        answer.json().await.unwrap()
    };
    until("the runner is compiled", async || about(&server).await["compiled"] == true).await;
    let digest = about(&server).await["module"].as_str().unwrap().to_owned();
    for tenant in ["one", "two"] {
        let token = server.token(tenant, fabric_types::rest::token::Role::Developer).await;
        for (name, grants) in [("pure", json!({})), ("clocked", json!({ "clocks": true }))] {
            let (status, answer) = deploy(&server, &token, name, &grants, &digest).await;
            assert_eq!((status, &answer["compile_ms"], &answer["warnings"]), (201, &json!(0), &json!([])), "{answer}");
            let answer = server.client_with(&token).invoke(name, InvokeRequest::new("x")).await.unwrap();
            assert_eq!(answer.body.bytes(100).await.unwrap(), "x");
        }
    }
    // Two compilations in all, one for each kind of engine.
    assert_eq!(server.metric("fabric_compile_seconds_count").await, Some(2.0));
    // After a restart it is there at once.
    server.restart_with(options()).await;
    until("the runner is compiled", async || about(&server).await["compiled"] == true).await;
    // The file is replaced while the server runs.
    std::fs::write(&file, b"\0asm").unwrap();
    let token = server.token("three", fabric_types::rest::token::Role::Developer).await;
    let (status, answer) = deploy(&server, &token, "pure", &json!({}), &digest).await;
    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")), "{answer}");
    assert!(!server.has_ended(), "{}", server.log());
    // A file that is missing is reported at the start.
    let missing = folder.path().join("missing.wasm").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let ran = server.cli(&["serve", "--listen", "127.0.0.1:0", "--data", &data, "--python-runner", &missing]).await;
    assert!(ran.status(3).stderr.contains("reading the Python runner"));
}
