//! Tasks that cannot succeed: the list of dead letters, and jobs that succeed without such tasks.

use fabric_client::PageOptions;
use fabric_tests::{Options, Server, hostile};
use fabric_types::{
    job::{JobSpec, JobState},
    rest::token::Role,
};
use serde_json::json;

/// Returns a job with one poison item, which the function cannot parse.
fn spec(more: serde_json::Value) -> JobSpec {
    let item = |seed: u64| json!({"seed": seed, "samples": 1000});
    let mut spec = json!({"function": "montecarlo-pi", "input": {"items": [item(1), {"poison": true}, item(3)]}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

#[tokio::test]
async fn a_poison_task_ends_in_the_list_and_the_job_says_so() {
    let mut server = Server::start(Options::slots(2)).await;
    server.example("montecarlo-pi").await;
    let client = server.client().clone();
    let run = async |spec: &JobSpec| {
        let id = client.submit(spec, None).await.unwrap().id;
        client.wait_job(id.as_str()).await.unwrap()
    };
    let failed = run(&spec(json!({"reduce": {}}))).await;
    assert_eq!((failed.state, failed.tasks.dead), (JobState::Failed, 1));
    let allowed = run(&spec(json!({"reduce": {}, "allow-failed": 1}))).await;
    assert_eq!(allowed.state, JobState::Succeeded, "{:?}", allowed.error);
    assert_eq!((allowed.tasks.dead, allowed.tasks.succeeded, allowed.tasks.total), (1, 3, 4));
    assert!(allowed.remark.contains("1 failed permanently, of 1 allowed"), "{}", allowed.remark);
    let merged = client.result(allowed.id.as_str()).await.unwrap().bytes(1 << 20).await.unwrap();
    let merged: serde_json::Value = serde_json::from_slice(&merged).unwrap();
    assert_eq!(merged["total"], 2000, "the other two");
    let parts = run(&spec(json!({"allow-failed": 2}))).await;
    assert_eq!((parts.state, parts.results), (JobState::Succeeded, 2));

    let letters = client.dead_letters(None, &PageOptions::default()).await.unwrap().items;
    assert_eq!(letters.len(), 3);
    let letter = letters.iter().find(|l| l.job == failed.id).unwrap();
    assert_eq!((letter.stage, letter.index, letter.nodes.len()), (0, 1, 1));
    assert!(letter.input.contains("poison") && !letter.error.message.is_empty(), "{letter:?}");
    let shown = server.cli(&["dead-letters", failed.id.as_str()]).await.ok();
    assert!(shown.text().contains("task      0/1 of montecarlo-pi@1"), "{}", shown.text());
    assert!(server.cli(&["dead-letters"]).await.ok().text().contains(failed.id.as_str()));
    // Another tenant's list does not include them.
    let other = server.client_with(&server.token("other", Role::Developer).await);
    assert!(other.dead_letters(None, &PageOptions::default()).await.unwrap().items.is_empty());
    let mine = client.dead_letters(Some(&failed.id), &PageOptions::default()).await.unwrap().items;
    assert_eq!(mine.len(), 1);

    // A new index is rebuilt from the journal.
    for file in std::fs::read_dir(server.folder().join("data")).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("index.db") && !name.contains("usage") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    server.restart().await;
    let again = server.client().dead_letters(None, &PageOptions::default()).await.unwrap().items;
    assert_eq!(again, letters);
}

#[tokio::test]
async fn a_trap_is_listed_with_its_backtrace() {
    let server = Server::start(Options::slots(2)).await;
    server.deploy("trap", hostile("trap"), "").await;
    let ran = server.cli(&["run", "trap", "--items", "[1,2]", "--allow-failed", "2"]).await.ok();
    assert!(ran.stderr.contains("2 tasks given up: see fabric dead-letters"), "{}", ran.stderr);
    let letters = server.client().dead_letters(None, &PageOptions::default()).await.unwrap().items;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|l| l.error.code.as_str().starts_with("trap") && !l.error.backtrace.is_empty()));
    let page = PageOptions { limit: Some(1), ..PageOptions::default() };
    let first = server.client().dead_letters(None, &page).await.unwrap();
    let next = PageOptions { cursor: first.next, ..page };
    let second = server.client().dead_letters(None, &next).await.unwrap();
    assert_eq!([&first.items[..], &second.items[..]].concat(), letters);
    assert_eq!(second.next, None);
}
