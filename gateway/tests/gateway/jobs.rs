//! Jobs: submitting, results in windows and ranges, events that resume, the bin.

use crate::support::{CAT, LOOP, Server, TRAP, send, wat};
use fabric_backend::registry::Precondition;
use serde_json::{Value, json};

/// Runs a job over an object until it succeeds, and returns its id.
async fn done(server: &Server, text: &str, split: &str) -> String {
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    send(server.ask("PUT", "/v1/objects/in").body(text.to_owned())).await.is(201);
    let spec = json!({ "function": "cat", "name": "words", "tags": ["t"], "input": { "objects": { "path": "in", "split": split } } });
    let plan = server.json("POST", "/v1/jobs?dry_run=true", spec.clone()).await.is(200);
    assert!(plan.header("location").is_none());
    let job = server.json("POST", "/v1/jobs", spec).await.is(201);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(job.header("location"), Some(format!("/v1/jobs/{id}").as_str()));
    let ended = server.get(&format!("/v1/jobs/{id}?wait=60")).await.is(200).json();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn one_result_is_read_whole_in_ranges_in_lines_and_by_word() {
    let server = Server::start().await;
    let text: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let id = done(&server, &text, "object").await;
    let at = format!("/v1/jobs/{id}/result");
    let whole = server.get(&at).await.is(200);
    assert_eq!(whole.text(), text);
    let part = send(server.ask("GET", &at).header("range", "bytes=5-8")).await.is(206);
    assert_eq!(part.text(), text[5..9]);
    send(server.ask("GET", &at).header("range", "bytes=999999-")).await.problem("range-not-satisfiable");
    send(server.ask("GET", &at).header("if-none-match", whole.header("etag").unwrap())).await.is(304);
    assert_eq!(server.get(&format!("{at}?line=498&lines=10")).await.is(200).text(), "line 498\nline 499\n");
    assert_eq!(server.get(&format!("{at}?line=3&lines=2")).await.is(200).text(), "line 3\nline 4\n");
    assert_eq!(server.get(&format!("{at}?lines=0")).await.is(200).text(), "");
    let found = server.get(&format!("{at}?q=line%2049&lines=3")).await.is(200);
    assert_eq!(found.text(), "line 49\nline 490\nline 491\n");
    assert_eq!(found.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(server.get(&format!("{at}?q=absent")).await.is(200).text(), "");
    assert_eq!(server.get(&format!("{at}/0")).await.is(200).text(), text);
    server.get(&format!("{at}/1")).await.problem("not-found");
    server.get(&format!("{at}/x")).await.problem("bad-request");
    server.get(&format!("{at}?line=x")).await.problem("bad-request");
    let list = server.get(&format!("/v1/jobs/{id}/results")).await.is(200).json();
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["index"], &items[0]["bytes"]), (1, &json!(0), &json!(text.len())));
    let digest = whole.header("etag").unwrap().trim_matches('"');
    assert_eq!(items[0]["digest"], digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_results_follow_one_another() {
    let server = Server::start().await;
    let text: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let id = done(&server, &text, "lines:1KiB").await;
    let list = server.get(&format!("/v1/jobs/{id}/results?limit=2")).await.is(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["next"], "2");
    let whole = server.get(&format!("/v1/jobs/{id}/result")).await.is(200);
    assert_eq!(whole.text(), text);
    let bytes = server.get(&format!("/v1/jobs/{id}/result?join=bytes")).await.is(200);
    assert_eq!(bytes.header("content-length"), Some(text.len().to_string().as_str()));
    // A window across the boundary of two results.
    let all = server.get(&format!("/v1/jobs/{id}/result?line=90&lines=60")).await.is(200).text();
    assert_eq!(all, (90..150).map(|n| format!("line {n}\n")).collect::<String>());
    let tasks = server.get(&format!("/v1/jobs/{id}/tasks?state=succeeded&stage=0")).await.is(200).json();
    assert!(tasks["items"].as_array().unwrap().len() >= 4, "{tasks}");
    // The results of single tasks in order, which can be read while other tasks run.
    let mut parts = String::new();
    for task in tasks["items"].as_array().unwrap() {
        let at = format!("/v1/jobs/{id}/tasks/0/{}/result", task["index"]);
        parts += &server.get(&at).await.is(200).text();
    }
    assert_eq!(parts, text);
    let first = format!("/v1/jobs/{id}/tasks/0/0/result");
    assert_eq!(send(server.ask("GET", &first).header("range", "bytes=0-5")).await.is(206).text(), "line 0");
    server.get(&format!("/v1/jobs/{id}/tasks/0/999/result")).await.problem("not-found");
    server.get(&format!("/v1/jobs/{id}/tasks/9/0/result")).await.problem("not-found");
    server.get(&format!("/v1/jobs/{id}/tasks/x/0/result")).await.problem("bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_has_no_result_and_its_last_words_come_first() {
    let server = Server::start().await;
    server.deploy("bad", wat(TRAP), json!({})).await.is(201);
    let spec = json!({ "function": "bad", "input": { "items": [1, 2, 3] }, "allow-failed": 3 });
    let id = server.json("POST", "/v1/jobs", spec).await.is(201).json()["id"].as_str().unwrap().to_owned();
    server.get(&format!("/v1/jobs/{id}?wait=60")).await.is(200);
    let problem = server.get(&format!("/v1/jobs/{id}/tasks/0/1/result")).await.problem("not-found");
    assert!(problem.hint.unwrap().contains("state=succeeded"));
    let lines = async |query: &str| {
        let page = server.get(&format!("/v1/jobs/{id}/logs?{query}")).await.is(200).json();
        let items = page["items"].as_array().unwrap().clone();
        (
            items.into_iter().map(|line| line["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            page["next"].clone(),
        )
    };
    let (oldest, _) = lines("").await;
    let (newest, next) = lines("order=newest&limit=2").await;
    assert_eq!((oldest.len(), &newest[..]), (3, &[oldest[2].clone(), oldest[1].clone()][..]));
    let (rest, _) = lines(&format!("order=newest&cursor={}", next.as_str().unwrap())).await;
    assert_eq!(rest, oldest[..1]);
    server.get(&format!("/v1/jobs/{id}/logs?order=best")).await.problem("bad-request");
}

/// Parses the events of a stream that ended.
fn events(text: &str) -> Vec<(u64, String, Value)> {
    let field =
        |event: &str, name: &str| event.lines().find_map(|l| l.strip_prefix(&format!("{name}: "))).map(str::to_owned);
    text.split("\n\n")
        .filter(|e| e.contains("data: "))
        .map(|e| {
            let data = serde_json::from_str(&field(e, "data").unwrap()).unwrap();
            (field(e, "id").unwrap().parse().unwrap(), field(e, "event").unwrap(), data)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_after_the_last_and_resume_after_any() {
    let server = Server::start().await;
    let id = done(&server, "a\nb\n", "object").await;
    let at = format!("/v1/jobs/{id}/events");
    let stream = server.get(&at).await.is(200);
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let all = events(&stream.text());
    assert!(all.len() >= 2, "{all:?}");
    assert_eq!(all.last().unwrap().1, "succeeded");
    assert!(all.windows(2).all(|w| w[0].0 < w[1].0), "{all:?}");
    assert!(all.iter().all(|(seq, kind, data)| data["seq"] == *seq && data["kind"] == *kind));
    for seen in 0..all.len() - 1 {
        let rest = send(server.ask("GET", &at).header("last-event-id", all[seen].0)).await.is(200);
        assert_eq!(events(&rest.text()), all[seen + 1..], "after {}", all[seen].0);
    }
    let end = send(server.ask("GET", &at).header("last-event-id", all.last().unwrap().0)).await.is(200);
    assert_eq!(events(&end.text()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_job_shows_long_parameters_cut_and_tasks_have_them_whole() {
    let server = Server::start().await;
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    let run = async |last: &str| {
        let text = format!("{}{last}", "x".repeat(9999));
        let spec = json!({ "function": "cat", "input": { "items": [1] }, "params": { "text": text } });
        let id = server.json("POST", "/v1/jobs", spec).await.is(201).json()["id"].as_str().unwrap().to_owned();
        let job = server.get(&format!("/v1/jobs/{id}?wait=60")).await.is(200).json();
        assert_eq!(job["state"], "succeeded", "{job}");
        let shown = job["spec"]["params"]["text"].as_str().unwrap();
        assert!(shown.len() < 100 && shown.ends_with("… (10000 bytes)"), "{shown}");
        (id, job["tasks"]["cached"].as_u64().unwrap())
    };
    let (id, _) = run("a").await;
    // Parameters that differ only after the truncation are different.
    assert_eq!(run("b").await.1, 0);
    assert_eq!(run("b").await.1, 1);
    // An audit repeats the whole parameter.
    let audit = send(server.ask("POST", &format!("/v1/jobs/{id}/audit?sample=100"))).await.is(200).json();
    assert_eq!(audit, json!({ "checked": 1, "same": 1, "differing": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_job_goes_to_the_bin_and_back() {
    let server = Server::start().await;
    let id = done(&server, "a\n", "object").await;
    let at = format!("/v1/jobs/{id}");
    send(server.ask("DELETE", &at)).await.is(204);
    send(server.ask("POST", &format!("{at}/restore"))).await.is(200);
    server.get(&at).await.is(200);
    let audit = send(server.ask("POST", &format!("{at}/audit?sample=100"))).await.is(200).json();
    assert_eq!(audit, json!({ "checked": 1, "same": 1, "differing": [] }));
    send(server.ask("POST", &format!("{at}/audit?sample=0"))).await.problem("bad-request");
    server.get(&format!("{at}/logs?level=loud")).await.problem("bad-request");
    server.get(&format!("{at}/logs")).await.is(200);
}

/// Appends to a job's journal without its owner, as an earlier or a later owner would. Returns `true` if the job was
/// still running.
async fn interfere(server: &Server, id: &str, record: &'static [u8]) -> bool {
    let journal = &server.services.backend.journal;
    let stream = format!("t/default/jobs/{id}");
    loop {
        let len = journal.streams(&stream, None, 1).await.unwrap()[0].len;
        // After a few failures, so that the owner is busy.
        if len > 5 && journal.append(&stream, len, vec![bytes::Bytes::from_static(record)]).await.is_ok() {
            let job = server.get(&format!("/v1/jobs/{id}")).await.is(200).json();
            return job["state"] == "running";
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_owners_late_word_is_taken_in_and_a_later_owners_respected() {
    let server = Server::start().await;
    server.deploy("endless", wat(LOOP), json!({ "limits": { "fuel": 20_000_000 } })).await.is(201);
    let items: Vec<_> = (0..100).collect();
    let spec = json!({ "function": "endless", "input": { "items": items }, "allow-failed": 100, "concurrency": 1 });
    let submit = async || {
        let job = server.json("POST", "/v1/jobs", spec.clone()).await.is(201).json();
        job["id"].as_str().unwrap().to_owned()
    };
    let id = submit().await;
    assert!(interfere(&server, &id, b"S1").await, "too late: the job was too short");
    let ended = server.get(&format!("/v1/jobs/{id}?wait=60")).await.is(200).json();
    assert_eq!((&ended["state"], &ended["tasks"]["failed"]), (&json!("succeeded"), &json!(100)), "{ended}");
    let lines = server.get(&format!("/v1/jobs/{id}/tasks?limit=1000&state=failed")).await.is(200).json();
    assert_eq!(lines["items"].as_array().unwrap().len(), 100);

    let id = submit().await;
    assert!(interfere(&server, &id, b"O1").await, "too late: the job was too short");
    let journal = &server.services.backend.journal;
    let stream = format!("t/default/jobs/{id}");
    let owned = async || journal.streams(&stream, None, 1).await.unwrap()[0].len;
    let len = owned().await;
    // Another job from start to end: enough time for a write to the first one.
    let other = submit().await;
    server.get(&format!("/v1/jobs/{other}?wait=60")).await.is(200);
    assert_eq!(owned().await, len, "it belongs to another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_an_earlier_owner_accepted_late_is_taken_up() {
    let server = Server::owning(fabric_gateway::Options::default(), Some(7), |_| {}).await;
    let first = done(&server, "a\nb\n", "object").await;
    // The same job under another id, put by another process into the place for accepted jobs.
    let backend = &server.services.backend;
    let late = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let accepted = backend.journal.read(&format!("t/default/jobs/{first}"), 0, 2).await.unwrap();
    let meta = String::from_utf8(accepted[0].bytes.to_vec()).unwrap().replace(&first, late);
    let records = vec![bytes::Bytes::from(meta), accepted[1].bytes.clone()];
    backend.registry.put(&format!("sys/active/default/{late}"), bytes::Bytes::new(), Precondition::Any).await.unwrap();
    backend.journal.append(&format!("t/default/jobs/{late}"), 0, records).await.unwrap();
    let ended = loop {
        let job = server.get(&format!("/v1/jobs/{late}?wait=1")).await.is(200).json();
        if job["state"] == "succeeded" {
            break job;
        }
    };
    assert_eq!(ended["id"], late);
    assert_eq!(server.get(&format!("/v1/jobs/{late}/result")).await.is(200).text(), "a\nb\n");
    let owned = backend.journal.read(&format!("t/default/jobs/{late}"), 2, 1).await.unwrap();
    assert_eq!(owned[0].bytes, "O7");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_is_refused_with_the_place() {
    let server = Server::start().await;
    server.deploy("cat", wat(CAT), json!({})).await.is(201);
    let unknown = server.json("POST", "/v1/jobs", json!({ "function": "nope", "input": { "items": [1] } })).await;
    unknown.problem("not-found");
    let typo = server.json("POST", "/v1/jobs", json!({ "function": "cat", "inputs": 1 })).await.problem("bad-request");
    assert!(typo.detail.contains("inputs") && typo.detail.contains("line 1, column"), "{}", typo.detail);
    let yaml =
        |text: &'static str| send(server.ask("POST", "/v1/jobs").header("content-type", "application/yaml").body(text));
    yaml("a: [").await.problem("bad-request");
    yaml("function: cat\ninput:\n  items: [x]\n").await.is(201);
    server.get("/v1/jobs?state=nope").await.problem("bad-request");
    server.get("/v1/jobs?since_ms=x").await.problem("bad-request");
    server.get("/v1/jobs?deleted=perhaps").await.problem("bad-request");
    for part in ["", "/events", "/tasks", "/result", "/results", "/logs", "/result/0"] {
        server.get(&format!("/v1/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV{part}")).await.problem("not-found");
        server.get(&format!("/v1/jobs/rubbish{part}")).await.problem("bad-request");
    }
}
