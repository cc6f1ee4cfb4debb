//! Tests of the index through its public API.

use fabric_index::{Index, InvocationFilter, JobFilter, LogFilter, Options};
use fabric_types::{
    Cost,
    id::{FunctionName, InvocationId, JobId, TenantId},
    job::JobState,
    rest::{
        invocation::{Invocation, InvocationState, LogLine, LogSource},
        job::{Job, TaskCounts},
        node::UsageLine,
    },
};
use futures::{FutureExt as _, StreamExt as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn function(name: &str) -> FunctionName {
    FunctionName::new(name).unwrap()
}

fn job(n: u64, name: &str) -> Job {
    let spec = serde_json::json!({"function": "weather", "input": {"items": []}, "params": {"city": "Göteborg"}});
    Job {
        id: JobId::from_parts(n, 0),
        name: name.to_owned(),
        function: function("weather"),
        version: 1,
        submitter: "alice".to_owned(),
        state: JobState::Queued,
        remark: String::new(),
        waiting: None,
        tasks: TaskCounts::default(),
        cost: Cost::default(),
        tags: vec!["nightly".to_owned()],
        created_ms: n,
        started_ms: None,
        ended_ms: None,
        queue_ms: 0,
        run_ms: 0,
        results: 0,
        error: None,
        deleted: false,
        spec: serde_json::from_value(spec).unwrap(),
    }
}

fn invocation(n: u64) -> Invocation {
    serde_json::from_value(serde_json::json!({
        "id": InvocationId::from_parts(n, 0), "function": "hello", "version": 1, "state": "succeeded", "created_ms": n,
        "fuel": 1, "cached": false,
    }))
    .unwrap()
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn line(n: u64, message: &str) -> LogLine {
    LogLine {
        at_ms: now_ms(),
        invocation_id: InvocationId::from_parts(n, 0),
        function: function("hello"),
        task: None,
        source: LogSource::Log,
        level: "info".to_owned(),
        message: message.to_owned(),
    }
}

async fn found(index: &Index, filter: JobFilter) -> Vec<u64> {
    index.jobs(&tenant("a"), &filter, None, 100).await.unwrap().items.iter().map(|job| job.created_ms).collect()
}

#[tokio::test]
async fn each_job_filter_narrows_alone_and_together() {
    let index = Index::in_memory().unwrap();
    let a = tenant("a");
    let mut jobs = [job(1, "Sales 100%"), job(2, "天气统计"), job(3, "rain_fall"), job(4, "rainfall"), job(5, "call")];
    jobs[1].state = JobState::Running;
    jobs[2].function = function("rain");
    jobs[2].tags = vec!["night".to_owned(), "big".to_owned()];
    jobs[3].deleted = true;
    index.put_jobs(jobs.iter().map(|job| (a.clone(), job.clone())).collect()).await.unwrap();
    index.put_jobs(vec![(tenant("b"), job(9, "rain"))]).await.unwrap();
    index.put_invocations(vec![(a.clone(), invocation(5))]).await.unwrap();

    let none = JobFilter::default();
    assert_eq!(found(&index, none.clone()).await, [3, 2, 1]);
    assert_eq!(found(&index, JobFilter { invocations: true, ..none.clone() }).await, [5, 3, 2, 1]);
    assert_eq!(found(&index, JobFilter { deleted: true, ..none.clone() }).await, [4]);
    assert_eq!(found(&index, JobFilter { states: vec![JobState::Running], ..none.clone() }).await, [2]);
    let both = vec![JobState::Running, JobState::Queued];
    assert_eq!(found(&index, JobFilter { states: both, ..none.clone() }).await, [3, 2, 1]);
    assert_eq!(found(&index, JobFilter { function: Some(function("rain")), ..none.clone() }).await, [3]);
    let name = |name: &str| JobFilter { name: Some(name.to_owned()), ..JobFilter::default() };
    assert_eq!(found(&index, name("SALES")).await, [1]);
    assert_eq!(found(&index, name("0%")).await, [1]);
    assert_eq!(found(&index, name("n_f")).await, [3]);
    assert_eq!(found(&index, name("气统")).await, [2]);
    assert_eq!(found(&index, JobFilter { tag: Some("night".to_owned()), ..none.clone() }).await, [3]);
    assert_eq!(found(&index, JobFilter { tag: Some("nightly".to_owned()), ..none.clone() }).await, [2, 1]);
    let id = JobId::from_parts(2, 0).to_string();
    assert_eq!(found(&index, JobFilter { id_prefix: Some(id[..10].to_lowercase()), ..none.clone() }).await, [2]);
    assert_eq!(found(&index, JobFilter { since_ms: Some(2), ..none.clone() }).await, [3, 2]);
    assert_eq!(found(&index, JobFilter { until_ms: Some(2), ..none.clone() }).await, [1]);
    let q = |q: &str| JobFilter { q: Some(q.to_owned()), ..JobFilter::default() };
    assert_eq!(found(&index, q("sales")).await, [1]);
    assert_eq!(found(&index, q("天气统")).await, [2]);
    assert_eq!(found(&index, q("天气")).await, [2], "two characters have no trigram");
    assert_eq!(found(&index, q("göteborg rain_")).await, [3]);
    assert_eq!(found(&index, q("alice big")).await, [3]);
    assert_eq!(found(&index, q("alice nobody")).await, [] as [u64; 0]);
    let all = JobFilter {
        states: vec![JobState::Running],
        function: Some(function("weather")),
        name: Some("天".to_owned()),
        tag: Some("nightly".to_owned()),
        id_prefix: Some(id),
        since_ms: Some(2),
        until_ms: Some(3),
        q: Some("天气统计 alice".to_owned()),
        deleted: false,
        invocations: true,
    };
    assert_eq!(found(&index, all).await, [2]);
}

#[tokio::test]
async fn changed_and_removed_jobs_are_found_by_their_new_words_only() {
    let index = Index::in_memory().unwrap();
    let a = tenant("a");
    let q = |q: &str| JobFilter { q: Some(q.to_owned()), ..JobFilter::default() };
    index.put_jobs(vec![(a.clone(), job(1, "before")), (a.clone(), job(2, "other"))]).await.unwrap();
    index.put_jobs(vec![(a.clone(), job(1, "after"))]).await.unwrap();
    assert_eq!(found(&index, q("before")).await, [] as [u64; 0]);
    assert_eq!(found(&index, q("after")).await, [1]);
    assert_eq!(index.job(&a, &JobId::from_parts(1, 0)).await.unwrap().unwrap().name, "after");
    assert_eq!(index.job(&tenant("b"), &JobId::from_parts(1, 0)).await.unwrap(), None);
    index.remove_job(&tenant("b"), &JobId::from_parts(1, 0)).await.unwrap();
    assert_eq!(found(&index, q("after")).await, [1]);
    index.remove_job(&a, &JobId::from_parts(1, 0)).await.unwrap();
    index.remove_job(&a, &JobId::from_parts(1, 0)).await.unwrap();
    assert_eq!(found(&index, q("after")).await, [] as [u64; 0]);
    assert_eq!(index.job(&a, &JobId::from_parts(1, 0)).await.unwrap(), None);
}

#[tokio::test]
async fn pages_do_not_shift_while_jobs_are_added() {
    let index = Index::in_memory().unwrap();
    let a = tenant("a");
    index.put_jobs((1..=25).map(|n| (a.clone(), job(n, "x"))).collect()).await.unwrap();
    let (mut seen, mut cursor, mut added) = (Vec::new(), None::<String>, 100);
    loop {
        let page = index.jobs(&a, &JobFilter::default(), cursor.as_deref(), 10).await.unwrap();
        seen.extend(page.items.iter().map(|job| job.created_ms));
        added += 1;
        index.put_jobs(vec![(a.clone(), job(added, "new"))]).await.unwrap();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn hostile_queries_find_nothing_and_break_nothing() {
    let index = Index::in_memory().unwrap();
    let a = tenant("a");
    index.put_jobs(vec![(a.clone(), job(1, "x\0y \"quoted\" 🦀🦀🦀 café"))]).await.unwrap();
    let long = "y".repeat(1 << 20);
    let many = "abc ".repeat(10_000);
    for q in [
        "\"",
        "'",
        "\"\"\"",
        "NOT",
        "a AND",
        "OR OR OR",
        "NEAR(abc def, 5)",
        "words:abc",
        "{words}: abc",
        "^abc",
        "abc*",
        "-abc",
        "(((",
        ")))",
        "\0",
        "a\0b\0c",
        "%",
        "_",
        "\\",
        "\\%",
        "'; DROP TABLE jobs; --",
        "\u{feff}\u{200d}\u{202e}zz",
        &long,
        &many,
    ] {
        let text = Some(q.to_owned());
        for filter in [
            JobFilter { q: text.clone(), ..JobFilter::default() },
            JobFilter { name: text.clone(), ..JobFilter::default() },
            JobFilter { tag: text.clone(), ..JobFilter::default() },
            JobFilter { id_prefix: text.clone(), ..JobFilter::default() },
        ] {
            index.jobs(&a, &filter, Some(q), 10).await.unwrap();
        }
        index.logs(&a, &LogFilter { q: text, ..LogFilter::default() }, Some(q), 10).await.unwrap();
    }
    for q in ["\"quoted\"", "🦀🦀🦀", "🦀", "café", "CAF", "", "   "] {
        assert_eq!(found(&index, JobFilter { q: Some(q.to_owned()), ..JobFilter::default() }).await, [1], "{q}");
    }
}

#[tokio::test]
async fn invocations_are_filtered_paged_and_capped() {
    let index = Index::in_memory_with(Options { invocations: 10, ..Options::default() }).unwrap();
    let a = tenant("a");
    for n in 1..=25 {
        let mut one = invocation(n);
        if n % 2 == 0 {
            one.state = InvocationState::Failed;
            one.function = function("other");
        }
        index.put_invocations(vec![(a.clone(), one)]).await.unwrap();
    }
    index.put_invocations(vec![(tenant("b"), invocation(1))]).await.unwrap();
    let list = async |filter: InvocationFilter| {
        let page = index.invocations(&tenant("a"), &filter, None, 100).await.unwrap();
        page.items.iter().map(|i| i.created_ms).collect::<Vec<_>>()
    };
    let none = InvocationFilter::default();
    assert_eq!(list(none.clone()).await, (16..=25).rev().collect::<Vec<_>>());
    assert_eq!(
        list(InvocationFilter { states: vec![InvocationState::Failed], ..none.clone() }).await,
        [24, 22, 20, 18, 16]
    );
    assert_eq!(
        list(InvocationFilter { function: Some(function("hello")), ..none.clone() }).await,
        [25, 23, 21, 19, 17]
    );
    assert_eq!(list(InvocationFilter { since_ms: Some(20), until_ms: Some(22), ..none.clone() }).await, [21, 20]);
    let page = index.invocations(&a, &none, None, 4).await.unwrap();
    let next = index.invocations(&a, &none, page.next.as_deref(), 100).await.unwrap();
    assert_eq!((page.items.len(), next.items.len(), next.next), (4, 6, None));
    assert!(index.invocation(&a, &InvocationId::from_parts(20, 0)).await.unwrap().is_some());
    assert!(index.invocation(&a, &InvocationId::from_parts(1, 0)).await.unwrap().is_none());
    assert!(index.invocation(&tenant("b"), &InvocationId::from_parts(1, 0)).await.unwrap().is_some());
}

#[tokio::test]
async fn log_lines_are_filtered_followed_and_kept_by_tenant() {
    let index = Index::in_memory().unwrap();
    let (a, b) = (tenant("a"), tenant("b"));
    let before = line(1, "before");
    index.log(vec![(a.clone(), before.clone())]);
    let warn = LogFilter { level: Some("warn".to_owned()), ..LogFilter::default() };
    let (start, mut follow) = index.follow(&a, warn, None).await.unwrap();
    let mut lines = vec![line(1, "Hello world"), line(2, "磁盘已满"), line(2, "100% done"), line(3, "bye")];
    lines[1].level = "error".to_owned();
    lines[2].task = Some("0/7".to_owned());
    lines[3].function = function("other");
    lines[3].at_ms += 60_000;
    let later = lines[3].at_ms;
    index.log(lines.iter().map(|line| (a.clone(), line.clone())).collect());
    index.log(vec![(b.clone(), line(1, "b's"))]);
    index.flush().await.unwrap();
    let (number, followed) = follow.next().await.unwrap().unwrap();
    assert_eq!(followed, lines[1]);
    assert!(follow.next().now_or_never().is_none());
    // A disconnected follower continues after its last line. A number from another index starts at the end.
    let all = LogFilter::default();
    let (_, rest) = index.follow(&a, all.clone(), Some(number)).await.unwrap();
    let rest: Vec<_> = rest.map(|item| item.unwrap().1).take(2).collect().await;
    assert_eq!(rest, lines[2..]);
    let (_, again) = index.follow(&a, all.clone(), Some(start)).await.unwrap();
    assert_eq!(again.take(4).map(|item| item.unwrap().1).collect::<Vec<_>>().await, lines);
    let (_, mut foreign) = index.follow(&a, all, Some(i64::MAX)).await.unwrap();
    assert!(foreign.next().now_or_never().is_none());
    let list = async |filter: LogFilter| index.logs(&tenant("a"), &filter, None, 100).await.unwrap().items;
    let none = LogFilter::default();
    assert_eq!(list(none.clone()).await[1..], lines);
    let mut reversed: Vec<_> = lines.iter().rev().cloned().collect();
    reversed.push(before);
    assert_eq!(list(LogFilter { newest_first: true, ..none.clone() }).await, reversed);
    assert_eq!(list(LogFilter { function: Some(function("other")), ..none.clone() }).await, lines[3..]);
    let second = Some(InvocationId::from_parts(2, 0));
    assert_eq!(list(LogFilter { invocation: second.clone(), ..none.clone() }).await, lines[1..3]);
    assert_eq!(list(LogFilter { task: Some("0/7".to_owned()), ..none.clone() }).await, lines[2..3]);
    assert_eq!(list(LogFilter { since_ms: Some(later), ..none.clone() }).await, lines[3..]);
    assert_eq!(list(LogFilter { level: Some("warn".to_owned()), ..none.clone() }).await, lines[1..2]);
    for (q, expected) in [("hello WORLD", 0..1), ("磁盘", 1..2), ("0%", 2..3), ("nothing", 0..0)] {
        assert_eq!(list(LogFilter { q: Some(q.to_owned()), ..none.clone() }).await, lines[expected], "{q}");
    }
    let all =
        LogFilter { invocation: second, q: Some("已满".to_owned()), level: Some("error".to_owned()), ..none.clone() };
    assert_eq!(list(all).await, lines[1..2]);
    let page = index.logs(&a, &none, None, 3).await.unwrap();
    let rest = index.logs(&a, &none, page.next.as_deref(), 3).await.unwrap();
    assert_eq!((page.items.len(), rest.items.len(), rest.next), (3, 2, None));
    assert_eq!(index.logs(&b, &none, None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn old_and_too_many_lines_go_and_a_flood_says_what_it_lost() {
    let options = Options { log_bytes: 30_000, log_age: Duration::from_secs(3600), ..Options::default() };
    let index = Index::in_memory_with(options).unwrap();
    let a = tenant("a");
    index.log(vec![(a.clone(), LogLine { at_ms: 1, ..line(1, "from 1970") })]);
    assert_eq!(index.logs(&a, &LogFilter::default(), None, 10).await.unwrap().items, []);
    let text = "x".repeat(100);
    for n in 0..500 {
        index.log(vec![(a.clone(), line(n, &text))]);
    }
    let kept = index.logs(&a, &LogFilter::default(), None, 1000).await.unwrap().items;
    assert!((80..=100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().invocation_id, InvocationId::from_parts(499, 0), "the newest stay");
    index.log((0..20_000).map(|n| (a.clone(), line(n, ""))).collect());
    let noted = LogFilter { q: Some("lines dropped".to_owned()), ..LogFilter::default() };
    let notes = index.logs(&a, &noted, None, 10).await.unwrap().items;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].message.starts_with("3616 lines dropped"), "{}", notes[0].message);
}

#[tokio::test]
async fn a_flood_of_one_tenant_costs_another_no_line() {
    let index = Index::in_memory().unwrap();
    let (a, b) = (tenant("a"), tenant("b"));
    let quiet = (0..30).map(|n| (b.clone(), line(n, "quiet")));
    let flood = |from| (from..from + 20_000).map(|n| (a.clone(), line(n, "flood")));
    index.log(flood(0).chain(quiet).chain(flood(20_000)).collect());
    let of_b = index.logs(&b, &LogFilter::default(), None, 100).await.unwrap().items;
    assert!(of_b.len() == 30 && of_b.iter().all(|line| line.message == "quiet"), "{of_b:?}");
    let noted = LogFilter { q: Some("lines dropped".to_owned()), ..LogFilter::default() };
    assert_eq!(index.logs(&a, &noted, None, 10).await.unwrap().items.len(), 1, "the flood is told");
}

/// Returns the size of the index's files in bytes.
fn on_disk(path: &std::path::Path) -> u64 {
    let len = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).map_or(0, |meta| meta.len())
    };
    len("") + len("-wal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_counted_as_the_disk_takes_them_and_their_space_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let write = async |index: &Index, from: u64| {
        for part in 0..10 {
            index.log((0..4_000).map(|n| (tenant("a"), line(from + part * 4_000 + n, "x"))).collect());
            index.flush().await.unwrap();
        }
    };
    let index = Index::open(&path).unwrap();
    write(&index, 0).await;
    let counted = index.sizes().await.unwrap()[&tenant("a")];
    drop(index);
    let taken = on_disk(&path);
    assert!((taken / 2..taken * 3 / 2).contains(&counted), "{counted} counted, {taken} on disk");
    assert!(taken > 4 << 20, "{taken}");
    // With a lower limit the oldest lines are removed and the file becomes shorter.
    let options = Options { log_bytes: 1 << 20, ..Options::default() };
    let index = Index::open_with(&path, options).unwrap();
    write(&index, 40_000).await;
    let shrunk = async {
        while on_disk(&path) > 6 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shrunk).await.unwrap_or_else(|_| panic!("{}", on_disk(&path)));
    let newest = LogFilter { newest_first: true, ..LogFilter::default() };
    let kept = index.logs(&tenant("a"), &newest, None, 1).await.unwrap().items;
    assert_eq!(kept[0].invocation_id, InvocationId::from_parts(79_999, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_lasts_and_a_damaged_index_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let a = tenant("a");
    let delta = UsageLine { invocations: 1, cost: Cost { fuel: 10, ..Cost::default() }, ..UsageLine::default() };
    let index = Index::open(&path).unwrap();
    assert!(index.is_fresh());
    for _ in 0..100 {
        index.add_usage(&a, &function("f"), &delta);
    }
    index.add_usage(&tenant("b"), &function("g"), &delta);
    let expected = [UsageLine {
        function: Some(function("f")),
        invocations: 100,
        cost: Cost { fuel: 1000, ..Cost::default() },
        ..UsageLine::default()
    }];
    assert_eq!(index.usage(&a, 0..u32::MAX).await.unwrap(), expected);
    let today = fabric_index::usage::today();
    assert!(index.usage(&a, today + 1..u32::MAX).await.unwrap().is_empty());
    assert!(index.usage(&a, 0..today - 1).await.unwrap().is_empty());
    index.add_usage(&a, &function("f"), &UsageLine::default());
    index.put_jobs(vec![(a.clone(), job(1, "kept"))]).await.unwrap();
    index.log(vec![(a.clone(), line(1, "kept"))]);
    drop(index);
    let index = Index::open(&path).unwrap();
    assert!(!index.is_fresh());
    assert!(index.job(&a, &JobId::from_parts(1, 0)).await.unwrap().is_some());
    assert_eq!(index.logs(&a, &LogFilter::default(), None, 10).await.unwrap().items.len(), 1);
    drop(index);
    std::fs::write(&path, "not a database at all, but long enough to look at".repeat(100)).unwrap();
    let index = Index::open(&path).unwrap();
    assert!(index.is_fresh());
    assert!(index.job(&a, &JobId::from_parts(1, 0)).await.unwrap().is_none());
    assert_eq!(index.usage(&a, 0..u32::MAX).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_searches_take_among_100_000_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&dir.path().join("index.db")).unwrap();
    let a = tenant("a");
    let start = Instant::now();
    for chunk in 0..100u64 {
        let jobs = (0..1000).map(|n| (a.clone(), job(chunk * 1000 + n, &format!("job number {}", chunk * 1000 + n))));
        index.put_jobs(jobs.collect()).await.unwrap();
    }
    eprintln!("put: {:?} a job", start.elapsed() / 100_000);
    for (what, filter) in [
        ("newest", JobFilter::default()),
        ("one word, one job", JobFilter { q: Some("77123".to_owned()), ..JobFilter::default() }),
        ("one word, every job", JobFilter { q: Some("number".to_owned()), ..JobFilter::default() }),
        ("two characters", JobFilter { q: Some("zz".to_owned()), ..JobFilter::default() }),
        ("part of a name", JobFilter { name: Some("77123".to_owned()), ..JobFilter::default() }),
    ] {
        let start = Instant::now();
        let count = index.jobs(&a, &filter, None, 100).await.unwrap().items.len();
        eprintln!("{what}: {count} found in {:?}", start.elapsed());
    }
}
