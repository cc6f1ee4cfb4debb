//! Before and after a job: estimates of a dry run, retries of a job, budgets, usage by day.

use crate::support::{CAT, LOOP, Server, TRAP, guest, send, wat};
use serde_json::{Value, json};

async fn run(server: &Server, spec: Value) -> Value {
    let job = server.json("POST", "/v1/jobs", spec).await.is(201).json();
    server.get(&format!("/v1/jobs/{}?wait=60", job["id"].as_str().unwrap())).await.is(200).json()
}

async fn retry(server: &Server, job: &Value, body: &str) -> Value {
    let at = format!("/v1/jobs/{}/retry", job["id"].as_str().unwrap());
    let request = server.ask("POST", &at).header("content-type", "application/json").body(body.to_owned());
    let job = send(request).await.is(201).json();
    server.get(&format!("/v1/jobs/{}?wait=60", job["id"].as_str().unwrap())).await.is(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_once_more_with_all_it_had() {
    let server = Server::start().await;
    server.deploy("cat", wat(TRAP), json!({})).await.is(201);
    // More items than the description of a job shows, and a parameter that it shows truncated.
    let items: Vec<Value> = (0..150).map(|n| json!({ "n": n })).collect();
    let long = "x".repeat(10_000);
    let spec = json!({ "function": "cat", "input": { "items": items }, "params": { "long": long }, "tags": ["t"], "allow-failed": 150 });
    let first = run(&server, spec.clone()).await;
    assert_eq!((&first["state"], first["tasks"]["failed"].as_u64()), (&json!("succeeded"), Some(150)), "{first}");
    // The same version fails in the same way; a corrected one does not.
    let same = retry(&server, &first, "").await;
    assert_eq!((&same["version"], same["tasks"]["failed"].as_u64()), (&json!(1), Some(150)), "{same}");
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    let other = retry(&server, &first, r#"{"function": "cat"}"#).await;
    assert_eq!((&other["state"], &other["version"], &other["tags"]), (&json!("succeeded"), &json!(2), &json!(["t"])));
    let text =
        server.get(&format!("/v1/jobs/{}/result?join=bytes", other["id"].as_str().unwrap())).await.is(200).text();
    assert_eq!(text, items.iter().map(Value::to_string).collect::<String>());
    // With another budget.
    let poor = retry(&server, &other, r#"{"function": "cat", "budget-fuel": "1k"}"#).await;
    assert_eq!(poor["spec"]["budget-fuel"], 1000, "{poor}");
    // Another retry: everything is from the cache.
    let third = retry(&server, &other, "{}").await;
    assert_eq!((&third["version"], &third["tasks"]["cached"]), (&json!(2), &json!(150)));

    let at = |job: &Value| format!("/v1/jobs/{}/retry", job["id"].as_str().unwrap());
    server.json("POST", &at(&first), json!({ "function": "none" })).await.problem("not-found");
    server.json("POST", &at(&first), json!({ "nope": 1 })).await.problem("bad-request");
    server.json("POST", "/v1/jobs/01JD0000000000000000000000/retry", json!({})).await.problem("not-found");
    server.deploy("spin", wat(LOOP), json!({})).await.is(201);
    let running =
        server.json("POST", "/v1/jobs", json!({ "function": "spin", "input": { "items": [1] } })).await.is(201).json();
    let problem = server.json("POST", &at(&running), json!({})).await.problem("conflict");
    assert!(problem.hint.unwrap().contains("jobs cancel"));
    let (_, other_tenant) = server.token("developer", "other").await;
    let foreign = server
        .bare("POST", &at(&first))
        .bearer_auth(&other_tenant)
        .header("content-type", "application/json")
        .body("{}");
    send(foreign).await.problem("not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_jobs_have_no_results_and_budgets_are_not_passed() {
    let server = Server::start().await;
    server.deploy("spin", wat(LOOP), json!({ "limits": { "fuel": "1G" } })).await.is(201);
    let spec =
        json!({ "function": "spin", "input": { "items": [1, 2, 3, 4] }, "budget-fuel": "2M", "allow-failed": 4 });
    let ended = run(&server, spec).await;
    assert_eq!(
        (&ended["state"], &ended["error"]["code"], &ended["results"]),
        (&json!("failed"), &json!("budget-exhausted"), &json!(0)),
        "{ended}"
    );
    let spent = ended["cost"]["fuel"].as_u64().unwrap();
    assert!((2_000_000..2_100_000).contains(&spent), "one task was stopped at the budget, not at its limit: {spent}");

    server.deploy("pi", guest("montecarlo-pi"), json!({})).await.is(201);
    let items: Vec<Value> = (0..40).map(|seed| json!({ "seed": seed, "samples": 10_000 })).collect();
    let spec =
        |budget: Value| json!({ "function": "pi", "input": { "items": items }, "budget-fuel": budget, "cache": false });
    let whole = run(&server, spec(Value::Null)).await;
    assert_eq!(whole["state"], "succeeded", "{whole}");
    let all = whole["cost"]["fuel"].as_u64().unwrap();
    let part = run(&server, spec(json!(all / 4))).await;
    let (spent, one) = (part["cost"]["fuel"].as_u64().unwrap(), all / 40);
    assert_eq!(part["error"]["code"], "budget-exhausted", "{part}");
    assert!(spent <= all / 4 + 2 * one, "{spent} of {} with tasks of {one}", all / 4);
    assert!(part["tasks"]["succeeded"].as_u64().unwrap() >= 7, "{part}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_estimates_by_earlier_jobs() {
    let server = Server::start().await;
    server.deploy("pi", guest("montecarlo-pi"), json!({})).await.is(201);
    let spec = |from: u64, to: u64| {
        let items: Vec<Value> = (from..to).map(|seed| json!({ "seed": seed, "samples": 10_000 })).collect();
        json!({ "function": "pi", "input": { "items": items } })
    };
    let plan = async |spec| server.json("POST", "/v1/jobs?dry_run=true", spec).await.is(200).json();
    let before = plan(spec(0, 8)).await;
    assert!(before["estimate"].is_null(), "{before}");
    let ran = run(&server, spec(0, 8)).await;
    let fuel = ran["cost"]["fuel"].as_u64().unwrap();
    let again = plan(spec(0, 8)).await;
    assert_eq!((&again["cached"], &again["estimate"]["fuel"]), (&json!(8), &json!(0)), "{again}");
    let more = plan(spec(0, 16)).await;
    let about = more["estimate"]["fuel"].as_u64().unwrap();
    assert!(about > fuel / 2 && about < fuel * 2, "{about} for as many tasks as took {fuel}");
    assert!(more["estimate"]["basis"].as_str().unwrap().starts_with("1 earlier job of pi@1, per "), "{more}");
    // Prices of the test server: 2 for 1,000,000,000 units.
    let price = more["estimate"]["price"].as_f64().unwrap();
    assert!((price - about as f64 * 2e-9).abs() < 1e-9 && more["estimate"]["currency"] == "EUR", "{more}");
    assert_eq!(server.get("/v1/jobs").await.json()["items"].as_array().unwrap().len(), 1, "nothing else ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_counted_by_day() {
    let server = Server::start().await;
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    send(server.ask("POST", "/v1/functions/cat/invoke").body("x")).await.is(200);
    let now = fabric_index::usage::today() as u64 * fabric_index::usage::DAY_MS;
    let usage = async |query: &str| server.get(&format!("/v1/usage{query}")).await.is(200).json();
    let all = usage("").await;
    assert_eq!((&all["total"]["invocations"], &all["since_ms"]), (&json!(1), &Value::Null));
    let price = all["total"]["price"].as_f64().unwrap();
    assert!((price - all["total"]["fuel"].as_f64().unwrap() * 2e-9).abs() < 1e-12, "{all}");
    assert_eq!(all["prices"]["currency"], "EUR");
    let today = usage(&format!("?since_ms={}", now + 5)).await;
    assert_eq!((&today["total"]["invocations"], &today["since_ms"]), (&json!(1), &json!(now)), "the whole day counts");
    let before = usage(&format!("?until_ms={}", now - 1)).await;
    assert_eq!((&before["total"]["invocations"], &before["functions"]), (&json!(0), &json!([])));
    for wrong in
        [format!("?since_ms={}", now + 3 * 86_400_000), "?since_ms=x".to_owned(), format!("?since_ms={now}&until_ms=5")]
    {
        server.get(&format!("/v1/usage{wrong}")).await.problem("bad-request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_text_are_on_lines_of_their_own() {
    let server = Server::start().await;
    server.deploy("pi", guest("montecarlo-pi"), json!({})).await.is(201);
    let job = run(&server, json!({ "function": "pi", "input": { "items": [{ "seed": 1, "samples": 9 }, { "seed": 2, "samples": 9 }, { "seed": 3, "samples": 9 }] } })).await;
    let at = format!("/v1/jobs/{}/result", job["id"].as_str().unwrap());
    let (lines, bytes) =
        (server.get(&at).await.is(200).text(), server.get(&format!("{at}?join=bytes")).await.is(200).text());
    let ones: Vec<String> = {
        let mut ones = Vec::new();
        for n in 0..3 {
            ones.push(server.get(&format!("{at}/{n}")).await.is(200).text());
        }
        ones
    };
    assert!(ones.iter().all(|one| !one.is_empty() && !one.ends_with('\n')), "{ones:?}");
    assert_eq!(lines, ones.iter().map(|one| format!("{one}\n")).collect::<String>());
    assert_eq!(bytes, ones.concat());
    server.get(&format!("{at}?join=commas")).await.problem("bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_parameter_deletes_and_runs_nothing() {
    let server = Server::start().await;
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    let job = run(&server, json!({ "function": "cat", "input": { "items": [1] } })).await;
    let at = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for (method, path) in [
        ("POST", "/v1/sweep?dry-run=true".to_owned()),
        ("DELETE", "/v1/jobs?state=succeeded&untill_ms=1".to_owned()),
        ("DELETE", format!("{at}?nwo=true")),
        ("POST", "/v1/jobs?dryrun=true".to_owned()),
    ] {
        let spec = json!({ "function": "cat", "input": { "items": [2] } });
        server.json(method, &path, spec).await.problem("bad-request");
    }
    let jobs = server.get("/v1/jobs").await.is(200).json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs}");
    // A list would match everything.
    for path in [
        "/v1/jobs?stat=failed",
        "/v1/jobs?now=true",
        &format!("{at}?wiat=1"),
        &format!("{at}/tasks?sate=failed"),
        "/v1/functions?tags=x",
        "/v1/functions/cat/versions?count=1",
        "/v1/invocations?functions=cat",
        "/v1/logs?functoin=cat",
        "/v1/objects?prefxi=a",
        "/v1/dead-letters?jbo=1",
        "/v1/nodes?x=1",
        "/v1/tokens?x=1",
    ] {
        let problem = server.get(path).await.problem("bad-request");
        let name = path.split(['?', '=']).nth(1).unwrap();
        assert!(problem.detail.contains(name), "{path}: {}", problem.detail);
    }
    let problem = server.json("POST", "/v1/functions/cat/invoke?n=1", json!(1)).await.problem("bad-request");
    assert!(problem.detail.contains("params"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_role_that_is_needed() {
    let server = Server::start().await;
    let (_, invoker) = server.token("invoker", "default").await;
    let problem = send(server.bare("GET", "/v1/jobs").bearer_auth(&invoker)).await.problem("denied");
    assert!(problem.detail.contains("needs the role developer, and the token"));
    assert!(problem.hint.unwrap().contains("--role developer"));
}
