//! Attacks with input that multiplies the server's work: schemas, parameters, YAML, JSON and plans. Each attack ends
//! with a clear error, uses bounded memory, and does not block another connection.

use fabric_tests::{Options, Server, cat};
use fabric_types::Code;
use serde_json::{Value, json};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Growth of the server's memory that an attack may cause, in bytes.
const GROWTH: u64 = 512 * MIB;
/// Timeout, far above any expected duration. Only a hanging server reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A response: its status, its code if it is a problem, and its text.
#[derive(Debug)]
struct Seen {
    status: u16,
    code: Option<String>,
    text: String,
}

impl Seen {
    #[track_caller]
    fn is(&self, code: Code) {
        assert_eq!(self.code.as_deref(), Some(code.as_str()), "{}: {:.600}", self.status, self.text);
        assert_eq!(self.status, code.http_status());
    }
}

struct Attack {
    server: Server,
    http: reqwest::Client,
}

impl Attack {
    async fn start(args: &[&str]) -> Self {
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        Self { server: Server::start(Options { args }).await, http: reqwest::Client::new() }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Seen {
        let answer = request.bearer_auth(self.server.admin()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let code = serde_json::from_str::<Value>(&text).ok().and_then(|v| Some(v["code"].as_str()?.to_owned()));
        Seen { status, code, text }
    }

    /// Sends a request and polls `/healthz` over new connections until the response arrives. Checks the growth of
    /// memory.
    async fn beside(&self, request: reqwest::RequestBuilder) -> Seen {
        let process = self.server.process();
        let before = process.resident();
        process.forget_peak();
        let sent = self.send(request);
        tokio::pin!(sent);
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                let health = async {
                    let client = reqwest::Client::new();
                    let url = format!("{}/healthz", self.server.url());
                    let answer = tokio::time::timeout(Duration::from_secs(10), client.get(url).send()).await;
                    assert!(answer.expect("another connection received no response").unwrap().status().is_success());
                };
                tokio::select! {
                    biased;
                    seen = &mut sent => break seen,
                    () = health => {}
                }
            }
        });
        let seen = seen.await.expect("the attack received no response");
        let grown = process.peak().saturating_sub(before);
        assert!(grown < GROWTH, "the server grew by {} MiB: {:.300}", grown / MIB, seen.text);
        seen
    }

    fn post(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.server.url())).header("content-type", kind).body(body)
    }

    fn deploy(&self, name: &str, schema: &Value) -> reqwest::RequestBuilder {
        let manifest = json!({"function": {"name": name}, "params": schema}).to_string();
        let module = cat();
        let mut body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"manifest\"\r\n\r\n{manifest}\r\n\
             --x\r\ncontent-disposition: form-data; name=\"module\"; filename=\"m\"\r\n\r\n"
        )
        .into_bytes();
        body.extend(module);
        body.extend(b"\r\n--x--\r\n");
        self.post("/v1/functions", "multipart/form-data; boundary=x", body)
    }

    fn job(&self, spec: &Value, query: &str) -> reqwest::RequestBuilder {
        self.post(&format!("/v1/jobs{query}"), "application/json", spec.to_string())
    }
}

/// Returns a schema with `$defs` in which each level is `step` of the next.
fn tower(levels: usize, step: &dyn Fn(Value) -> Value) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
        defs.insert(format!("l{level}"), step(next));
    }
    defs.insert(format!("l{levels}"), json!({"type": "string"}));
    json!({"properties": {"a": {"$ref": "#/$defs/l0"}}, "$defs": defs})
}

#[tokio::test]
async fn schemas_without_a_bound_are_refused_at_deploy() {
    let attack = Attack::start(&[]).await;
    let steps: Vec<Box<dyn Fn(Value) -> Value>> = vec![
        Box::new(|r| json!({"anyOf": [r, r]})),
        Box::new(|r| json!({"oneOf": [r, r]})),
        Box::new(|r| json!({"allOf": [r, r]})),
        Box::new(|r| json!({"not": r, "anyOf": [r]})),
        Box::new(|r| json!({"if": r, "then": r, "else": r})),
        Box::new(|r| json!({"dependentSchemas": {"a": r, "b": r}})),
        Box::new(|r| json!({"anyOf": [{"allOf": [r, {"not": r}]}], "unevaluatedProperties": false})),
        Box::new(|r| json!({"items": r, "contains": r})),
        Box::new(|r| json!({"properties": {"a": r, "b": r}, "patternProperties": {"a": r}})),
    ];
    let mut schemas: Vec<Value> = steps.iter().map(|step| tower(22, step)).collect();
    // Billion laughs: ten references at each of ten levels.
    schemas.push(tower(10, &|r| json!({"allOf": vec![r; 10]})));
    schemas.push(tower(3000, &|r| json!({"allOf": [r]})));
    schemas.push((0..70).fold(json!(true), |inner, _| json!({"items": inner})));
    schemas.push((0..200).fold(json!(true), |inner, _| json!({"items": inner})));
    let patterns: serde_json::Map<_, _> = (0..1000).map(|n| (format!("^a{n}"), json!({"type": "string"}))).collect();
    schemas.push(json!({"patternProperties": patterns}));
    for pattern in ["(?=a)b", "(a)\\1", "((a{100}){100}){100}", &"(a|b)".repeat(1000)] {
        schemas.push(json!({"properties": {"a": {"pattern": pattern}}}));
    }
    schemas.push(json!({"properties": {"a": {"$ref": "https://example.com/a.json"}}}));
    schemas.push(json!({"properties": {"a": {"$dynamicRef": "other#a"}}}));
    schemas.push(json!({"$ref": "#"}));
    schemas.push(json!({"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}));
    schemas.push(json!({"enum": ["x".repeat(300_000)]}));
    for schema in &schemas {
        let seen = attack.beside(attack.deploy("f", schema)).await;
        seen.is(Code::InvalidManifest);
    }
}

#[tokio::test]
async fn checking_parameters_costs_a_bounded_amount() {
    let attack = Attack::start(&[]).await;
    let pairs = (0..22).fold(json!({"type": "number"}), |inner, _| json!({"anyOf": [inner, {"type": "boolean"}]}));
    let recursive = json!({"properties": {"a": {"$ref": "#/$defs/e"}}, "$defs": {"e": {"anyOf": [
        {"type": "number"},
        {"properties": {"op": {"const": "a"}, "l": {"$ref": "#/$defs/e"}}, "required": ["op"]},
        {"properties": {"l": {"$ref": "#/$defs/e"}}, "required": ["l", "op"]}
    ]}}});
    let unevaluated = (0..22).fold(json!({"type": "number"}), |inner, _| json!({"unevaluatedProperties": inner}));
    let items =
        (0..20).fold(json!({"type": "number"}), |inner, _| json!({"items": {"anyOf": [inner, {"type": "boolean"}]}}));
    let pattern = json!({"properties": {"a": {"pattern": "^(a|aa|a*)*b$"}, "l": {"uniqueItems": true}}});
    for (name, schema) in [
        ("pairs", &pairs),
        ("recursive", &recursive),
        ("unevaluated", &unevaluated),
        ("items", &items),
        ("pattern", &pattern),
    ] {
        assert_eq!(attack.send(attack.deploy(name, schema)).await.status, 201, "{name}");
    }
    let job = |function: &str, params: Value| json!({"function": function, "input": {"items": [1]}, "params": params});
    let nest = |levels: usize, name: &str| (0..levels).fold(json!("x"), |inner, _| json!({ name: inner }));
    let list = (0..20).fold(json!("x"), |inner, _| json!([inner]));
    for spec in [
        job("pairs", json!({"a": "x"})),
        job("recursive", json!({"a": nest(100, "l")})),
        job("recursive", json!({"a": nest(12, "l")})),
        job("unevaluated", nest(30, "a")),
        job("unevaluated", json!({"a": (0..100_000).map(|n| json!({"b": n})).collect::<Vec<_>>()})),
        job("items", json!({"a": list})),
        job("items", json!({"a": vec![list; 2000]})),
        job("pattern", json!({"a": "a".repeat(3_000_000)})),
        job("pattern", json!({"a": "c", "l": vec!["x".repeat(10); 200_000]})),
    ] {
        let seen = attack.beside(attack.job(&spec, "?dry_run=true")).await;
        // Wide lists are not objects, so some of the schemas accept them.
        if seen.status != 200 || !spec["params"]["a"].is_array() {
            seen.is(Code::InvalidParams);
        }
    }
    // Ordinary parameters are validated, and the error names the location.
    let seen = attack.send(attack.job(&job("recursive", json!({"a": {"op": "b", "l": 1}})), "?dry_run=true")).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let seen = attack.send(attack.job(&job("pattern", json!({"a": "c", "l": [1, 1]})), "?dry_run=true")).await;
    assert!(seen.text.contains("/a") && seen.text.contains("/l"), "{}", seen.text);
}

#[tokio::test]
async fn yaml_that_nests_or_multiplies_is_refused() {
    let attack = Attack::start(&[]).await;
    let bomb = |levels: usize, width: usize| {
        (1..levels).fold("a0: &a0 x\n".to_owned(), |text, n| {
            let alias = format!("*a{}", n - 1);
            format!("{text}a{n}: &a{n} [{}]\n", vec![alias; width].join(", "))
        })
    };
    let head = "function: f\ninput:\n  items:";
    let wide = format!("a: &a {}\nb: [{}]", "x".repeat(1000), "*a,".repeat(330_000));
    let texts = [
        format!("{head} {}", "[".repeat(360_000)),
        format!("{head} {}{}", "[".repeat(180_000), "]".repeat(180_000)),
        format!("{head} {}", "{a: ".repeat(90_000)),
        format!("{head}\n  {}", "- ".repeat(180_000)),
        format!("{head}\n  {}", "? ".repeat(180_000)),
        (0..1_500).fold(String::new(), |text, n| format!("{text}{}a:\n", " ".repeat(n))),
        bomb(30, 10),
        bomb(10, 1000),
        wide,
        format!("{head} [{{<<: {{a: 1}}}}]"),
        format!("{head} !!binary x"),
        format!("{head} !items [1]"),
        format!("{head} []\n---\n").repeat(20_000),
        format!("{head} [{}]", "1,".repeat(1_000_000)),
        format!("{head} [\"{}\"]", "\\u0041".repeat(800_000)),
        format!("{head} []\nname: |\n{}", "  x\n".repeat(1_000_000)),
        format!("{head} [{}", "\"a\": ".repeat(300_000)),
        format!("# {}\n", "c".repeat(5_000_000)),
        "%TAG ! tag:x,2000:\n".repeat(50_000),
    ];
    for text in texts {
        let begin: String = text.chars().take(60).collect();
        let seen = attack.beside(attack.post("/v1/jobs?dry_run=true", "application/yaml", text)).await;
        // A long text that does not multiply is parsed, and then names no function.
        assert!([400, 404, 413].contains(&seen.status), "{begin}: {} {:.300}", seen.status, seen.text);
        assert!(seen.text.len() < 3000, "{begin}: {:.300}", seen.text);
    }
    let wrong = attack.send(attack.post("/v1/jobs", "application/yaml", "function: f\ninputs: {items: []}\n")).await;
    assert!(wrong.text.contains("inputs") && wrong.text.contains("line 2"), "{}", wrong.text);
}

#[tokio::test]
async fn json_that_becomes_much_larger_in_memory_is_refused() {
    let attack = Attack::start(&[]).await;
    for one in ["[]", "{}", "[[]]", "{\"a\":1}", "1"] {
        let many = format!("{one},").repeat(15_000_000 / (one.len() + 1));
        let spec = format!("{{\"function\":\"f\",\"input\":{{\"items\":[{many}{one}]}}}}");
        let seen = attack.beside(attack.post("/v1/jobs?dry_run=true", "application/json", spec.clone())).await;
        seen.is(Code::TooLarge);
        assert!(seen.text.contains("items"), "{:.600}", seen.text);
        attack.beside(attack.post("/v1/placements/explain", "application/json", spec)).await.is(Code::TooLarge);
    }
    let deep = format!("{{\"function\":\"f\",\"input\":{{\"items\":[{}", "[".repeat(1_000_000));
    attack.beside(attack.post("/v1/jobs", "application/json", deep)).await.is(Code::BadRequest);
    // Bodies without items have a small limit.
    let long = format!("{{\"name\":\"{}\",\"role\":\"invoker\"}}", "n".repeat(2_000_000));
    attack.beside(attack.post("/v1/tokens", "application/json", long)).await.is(Code::TooLarge);
}

#[tokio::test]
async fn a_plan_of_too_many_tasks_is_refused_before_it_is_made() {
    let attack = Attack::start(&[]).await;
    assert_eq!(attack.send(attack.deploy("cat", &json!({}))).await.status, 201);
    attack.server.put("zeros", vec![0; 10_000_000]).await;
    attack.server.put("feeds", vec![b'\n'; 10_000_000]).await;
    attack.server.put("rows", format!("h\n{}", "1\n".repeat(5_000_000))).await;
    let spec =
        |path: &str, split: &str| json!({"function": "cat", "input": {"objects": {"path": path, "split": split}}});
    for (path, split) in [
        ("zeros", "records:1:1"),
        ("zeros", "records:2:1"),
        ("feeds", "lines:1"),
        ("rows", "csv:1"),
        ("rows", "lines:1"),
        ("rows", "items"),
    ] {
        for query in ["?dry_run=true", ""] {
            let seen = attack.beside(attack.job(&spec(path, split), query)).await;
            seen.is(Code::InvalidInputSpec);
            assert!(seen.text.contains("more than 1000000 partitions") && seen.text.contains("hint"), "{}", seen.text);
        }
        let explain = json!({"function": "cat", "input": spec(path, split)["input"]}).to_string();
        attack
            .beside(attack.post("/v1/placements/explain", "application/json", explain))
            .await
            .is(Code::InvalidInputSpec);
    }
    // The size in the hint is accepted.
    let seen = attack.send(attack.job(&spec("zeros", "records:1:1"), "?dry_run=true")).await;
    let hint = serde_json::from_str::<Value>(&seen.text).unwrap()["hint"].as_str().unwrap().to_owned();
    let size = hint.split("lines:").nth(1).unwrap().split(',').next().unwrap();
    let seen = attack.beside(attack.job(&spec("zeros", &format!("records:1:{size}")), "?dry_run=true")).await;
    assert_eq!(seen.status, 200, "{hint}: {}", seen.text);
}

#[tokio::test]
async fn the_operator_sets_how_many_tasks_a_job_may_have() {
    let attack = Attack::start(&["--max-tasks", "100"]).await;
    assert_eq!(attack.send(attack.deploy("cat", &json!({}))).await.status, 201);
    let of = |n: usize| json!({"function": "cat", "input": {"items": (0..n).collect::<Vec<_>>()}});
    assert_eq!(attack.send(attack.job(&of(100), "?dry_run=true")).await.status, 200);
    attack.send(attack.job(&of(101), "?dry_run=true")).await.is(Code::InvalidInputSpec);
    attack.send(attack.job(&of(101), "")).await.is(Code::InvalidInputSpec);
    // The limit applies to all objects of a job together.
    for name in ["a", "b"] {
        attack.server.put(&format!("many/{name}"), vec![0; 60]).await;
    }
    let spec = json!({"function": "cat", "input": {"objects": {"path": "many/", "split": "records:1:1"}}});
    attack.send(attack.job(&spec, "")).await.is(Code::InvalidInputSpec);
}

#[tokio::test]
async fn lists_searches_and_names_have_bounds() {
    let attack = Attack::start(&[]).await;
    assert_eq!(attack.send(attack.deploy("cat", &json!({}))).await.status, 201);
    let get = |path: &str| attack.http.get(format!("{}{path}", attack.server.url()));
    // Search text is not a query language: any text gives a response.
    for q in
        ["a*+b*+c*", "NEAR(a+b)", "%22", "a%22%20OR%20%22", "%25%25%25_%25", "%28%28%28", &"w+".repeat(10_000), "x%00y"]
    {
        for list in ["/v1/jobs?q=", "/v1/logs?q=", "/v1/functions?q=", "/v1/jobs?name="] {
            let seen = attack.beside(get(&format!("{list}{q}"))).await;
            assert_eq!(seen.status, 200, "{list}{q:.40}: {}", seen.text);
        }
    }
    for forged in ["/v1/jobs?cursor=x", "/v1/logs?cursor=x", "/v1/invocations?cursor=x", "/v1/tokens?cursor=x"] {
        let seen = attack.send(get(forged)).await;
        assert!([200, 400].contains(&seen.status), "{forged}: {}", seen.text);
    }
    for n in 0..20 {
        attack.server.put(&format!("folder-{}/{n}", n % 3), "x").await;
    }
    let seen = attack.send(get("/v1/objects?delimiter=/&limit=2")).await;
    let page: Value = serde_json::from_str(&seen.text).unwrap();
    assert_eq!((&page["items"][0]["path"], &page["next"]), (&json!("folder-0/"), &json!("folder-1/")));
    let rest = attack.send(get("/v1/objects?delimiter=/&cursor=folder-1/")).await;
    assert!(rest.text.contains("folder-2/") && !rest.text.contains("folder-1/"), "{}", rest.text);
    let many: String = (0..5_000).map(|n| format!("{n}-{n},")).collect();
    let ranges = get("/v1/objects/folder-0/0").header("range", format!("bytes={many}9-9"));
    assert_eq!(attack.send(ranges).await.status, 200, "many ranges do not give the whole object");
    let key =
        attack.job(&json!({"function": "cat", "input": {"items": []}}), "").header("idempotency-key", "k".repeat(201));
    attack.send(key).await.is(Code::BadRequest);
    let alias = |n: usize| {
        let body = json!({"targets": [{"version": 1, "weight": 1}]}).to_string();
        let url = format!("{}/v1/functions/cat/aliases/a{n}", attack.server.url());
        attack.http.put(url).header("content-type", "application/json").body(body)
    };
    let live = 1;
    for n in 0..100 - live {
        assert_eq!(attack.send(alias(n)).await.status, 200);
    }
    attack.send(alias(100)).await.is(Code::Conflict);
    assert_eq!(attack.send(alias(0)).await.status, 200, "an existing alias cannot be changed");
    let twice =
        "--x\r\ncontent-disposition: form-data; name=\"manifest\"\r\n\r\n[function]\nname = \"f\"\r\n".repeat(2);
    let form = attack.post("/v1/functions", "multipart/form-data; boundary=x", format!("{twice}--x--\r\n"));
    attack.send(form).await.is(Code::BadRequest);
}
