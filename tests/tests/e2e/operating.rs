//! Operating a server: reading its log, finding a wrong setting, setting and deleting quotas, removing old data.

use fabric_tests::{Options, Server, until};

fn with(args: &[&str]) -> Options {
    Options { args: args.iter().map(|arg| (*arg).to_owned()).collect() }
}

/// Returns the access lines of a log that contain `message`.
fn lines<'a>(log: &'a str, message: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains("fabric::access") && line.contains(message)).collect()
}

#[tokio::test]
async fn the_log_says_who_did_what_and_a_stranger_cannot_flood_it() {
    let server = Server::start(with(&["--log-format", "json"])).await;
    for _ in 0..60 {
        assert_eq!(server.raw("GET", "/v1/jobs", Some("fab_wrong"), "").await.status, 401);
    }
    let made = server.cli(&["token", "create", "ci", "--role", "invoker"]).await.ok();
    let ci = made.text().trim();
    assert_eq!(server.raw("GET", "/v1/jobs", Some(ci), "").await.status, 403);
    server.example("noop").await;
    let log = server.log();
    let refused = lines(&log, "\"refused\"");
    assert_eq!(refused.len(), 10, "{log}");
    assert!(refused[0].contains("\"route\":\"/v1/jobs\"") && refused[0].contains("\"peer\":\"127.0.0.1\""), "{log}");
    let signed_in = lines(&log, "\"signed in\"");
    assert!(signed_in.iter().any(|line| line.contains("admin of process local on ")), "{log}");
    let changed = lines(&log, "\"changed\"");
    let path = |path: &str| changed.iter().filter(|line| line.contains(&format!("\"path\":\"{path}\""))).count();
    assert_eq!((path("/v1/tokens"), path("/v1/functions")), (1, 1), "{log}");
    assert!(changed.iter().all(|line| line.contains("\"request_id\":\"")), "{log}");
    assert!(!log.contains(ci), "a secret is logged");
    let tokens = server.cli(&["token", "list"]).await.ok();
    assert!(tokens.text().contains("admin of process local on "), "{}", tokens.text());
}

#[tokio::test]
async fn a_log_file_is_begun_anew_when_it_is_full_and_a_restart_adds_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let args = ["--log-file", path("log").to_str().unwrap(), "--log-file-size", "64KiB", "--log-files", "3"]
        .map(ToOwned::to_owned);
    let mut server = Server::start(with(&args.each_ref().map(String::as_str))).await;
    server.restart_gently().await;
    let log = std::fs::read_to_string(path("log")).unwrap();
    assert_eq!(log.matches(" ready ").count(), 2, "{log}");
    // Every change by an admin is logged.
    let create = || async {
        let body = r#"{"name":"a token of the test of log files","role":"invoker"}"#;
        server.raw("POST", "/v1/tokens", Some(server.admin()), body).await.status
    };
    let mut made = 0;
    while std::fs::metadata(path("log")).unwrap().len() < 70 << 10 && !path("log.1").exists() {
        assert_eq!(create().await, 201);
        made += 1;
    }
    until("the log is rotated", async || path("log.1").exists()).await;
    assert_eq!(create().await, 201);
    until("the new log file is written to", async || {
        std::fs::read_to_string(path("log")).is_ok_and(|log| log.contains("/v1/tokens"))
    })
    .await;
    let all: String = ["log.1", "log"].map(|name| std::fs::read_to_string(path(name)).unwrap()).concat();
    assert_eq!(lines(&all, "changed").len(), made + 1, "a log line is lost");
}

#[tokio::test]
async fn config_show_works_with_wrong_settings() {
    let server = Server::start(Options::default()).await;
    let file = server.folder().join("server.toml");
    std::fs::write(&file, "slots = 0\nmax-tasks = 7\nnonsense = 1\n").unwrap();
    let show = ["config", "show", "--config", file.to_str().unwrap()];
    let shown = server.cli_with(&show, &[("FABRIC_IDLE_TIMEOUT", "long")]).await.status(2);
    let text = String::from_utf8(shown.stdout).unwrap();
    let line =
        |name: &str| text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default().to_owned();
    for (name, says) in [
        ("serve.slots", "use 1 to 4096"),
        ("serve.idle-timeout", "FABRIC_IDLE_TIMEOUT=`long`"),
        ("serve.nonsense", "unknown field `nonsense`"),
    ] {
        assert!(line(name).contains("INVALID") && line(name).contains(says), "{text}");
    }
    assert!(line("serve.max-tasks").contains('7') && !line("serve.max-tasks").contains("INVALID"), "{text}");
    assert!(shown.stderr.contains("invalid settings: serve."), "{}", shown.stderr);
}

#[tokio::test]
async fn what_is_in_use_is_a_conflict() {
    let server = Server::start(Options::default()).await;
    let other = tempfile::tempdir().unwrap();
    let at = server.url().trim_start_matches("http://").to_owned();
    let taken = server.cli(&["serve", "--data", other.path().to_str().unwrap(), "--listen", &at]).await.status(1);
    assert!(taken.stderr.contains("error[conflict]: listening on"), "{}", taken.stderr);
    let data = server.folder().join("data");
    let held = server.cli(&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).await.status(1);
    assert!(
        held.stderr.contains("error[conflict]:") && held.stderr.contains("is in use by another"),
        "{}",
        held.stderr
    );
}

#[tokio::test]
async fn guarantees_beyond_the_nodes_warn_and_quotas_are_deleted() {
    let server = Server::start(Options::slots(2)).await;
    let fits = server.cli(&["tenants", "set", "acme", "--guarantee-slots", "2"]).await.ok();
    assert!(!fits.stderr.contains("warning"), "{}", fits.stderr);
    // The sum exceeds the slots, each guarantee alone does not.
    let beyond = server.cli(&["tenants", "set", "other", "--guarantee-slots", "1"]).await.ok();
    assert!(beyond.stderr.contains("guaranteed 3 of CPU slots, and the nodes have 2"), "{}", beyond.stderr);
    assert!(server.cli(&["tenants", "show", "acme"]).await.ok().stderr.contains("warning"));

    server.cli(&["tenants", "set", "acme", "--storage", "1MiB", "--ceiling", "fuel=1000"]).await.ok();
    let ask = server.cli(&["tenants", "reset", "acme"]).await.status(2);
    assert!(ask.stderr.contains("--yes"), "{}", ask.stderr);
    server.cli(&["tenants", "reset", "acme", "--yes"]).await.ok();
    let quota = server.cli(&["tenants", "show", "acme", "--json"]).await.ok().json();
    let usual = server.cli(&["tenants", "show", "nobody", "--json"]).await.ok().json();
    assert_eq!(
        (&quota["quota"], &quota["storage"]["quota_bytes"]),
        (&usual["quota"], &usual["storage"]["quota_bytes"])
    );
    let other = server.cli(&["tenants", "show", "other"]).await.ok();
    assert!(!other.stderr.contains("warning"), "{}", other.stderr);
    let again = server.raw("DELETE", "/v1/tenants/acme/quota", Some(server.admin()), "").await;
    assert_eq!(again.status, 204);
}

#[tokio::test]
async fn what_is_past_its_time_is_counted_and_removed() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    let job = server.cli(&["run", "noop", "--items", "[1,2,3]", "--detach"]).await.ok().text().trim().to_owned();
    server.cli(&["jobs", "watch", &job]).await.ok();
    let count = async |kind: &str, args: &[&str]| {
        let swept = server.cli(args).await.ok().json();
        (swept[kind]["count"].as_u64().unwrap(), swept[kind]["bytes"].as_u64().unwrap())
    };
    let dry = ["gc", "--dry-run", "--json"];
    assert_eq!(count("jobs", &dry).await, (0, 0), "the server keeps jobs for 30 days");
    server.cli(&["tenants", "set", "default", "--keep", "jobs=1s", "--keep", "results=1s"]).await.ok();
    until("the job is past its time", async || count("jobs", &dry).await.0 == 1).await;
    until("its results are past their time", async || count("results", &dry).await.0 == 3).await;
    server.cli(&["jobs", "show", &job]).await.ok();
    let (jobs, bytes) = count("jobs", &["gc", "--json"]).await;
    assert!(jobs == 1 && bytes > 100, "{jobs} {bytes}");
    server.cli(&["jobs", "show", &job]).await.status(3);
    assert_eq!(count("jobs", &dry).await, (0, 0));
    assert_eq!(server.metric("fabric_expired_total").await, Some(4.0));
}

#[tokio::test]
async fn expired_tokens_are_marked_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    std::fs::write(&file, "[storage]\nkeep-tokens = \"3s\"\nsweep-every = \"1s\"\n").unwrap();
    let server = Server::start(with(&["--config", file.to_str().unwrap()])).await;
    server.cli(&["token", "create", "short", "--ttl", "1s"]).await.ok();
    server.cli(&["token", "create", "long", "--ttl", "1h"]).await.ok();
    let list = async || server.cli(&["token", "list"]).await.ok().text().to_owned();
    let short = |list: &str| list.lines().find(|line| line.contains(" short ")).map(ToOwned::to_owned);
    until("the token is marked as expired", async || short(&list().await).is_some_and(|line| line.contains("expired")))
        .await;
    until("the token is removed", async || short(&list().await).is_none()).await;
    assert!(list().await.contains(" long "));
}

#[tokio::test]
async fn jobs_are_deleted_by_what_they_have_in_common() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    for tag in ["a", "a", "b"] {
        server.cli(&["run", "noop", "--items", "[1]", "--tag", tag]).await.ok();
    }
    let left = async |more: &[&str]| {
        let args = [&["jobs", "list", "--json"], more].concat();
        server.cli(&args).await.ok().json()["items"].as_array().unwrap().len()
    };
    let ask = server.cli(&["jobs", "delete", "--tag", "a"]).await.status(2);
    assert!(ask.stderr.contains("put 2 jobs into the bin?"), "{}", ask.stderr);
    assert_eq!(left(&[]).await, 3);
    server.cli(&["jobs", "delete"]).await.status(2);
    let none = server.cli(&["jobs", "delete", "--older-than", "1h", "--yes"]).await.ok();
    assert!(none.stderr.contains("no job that has ended matches"), "{}", none.stderr);
    let done = server.cli(&["jobs", "delete", "--tag", "a", "--state", "succeeded", "--yes"]).await.ok();
    assert!(done.stderr.contains("2 jobs put into the bin"), "{}", done.stderr);
    assert_eq!((left(&[]).await, left(&["--deleted"]).await), (1, 2));
    server.cli(&["jobs", "delete", "--deleted", "--now", "--yes"]).await.ok();
    assert_eq!((left(&[]).await, left(&["--deleted"]).await), (1, 0));
    // Over REST, a deletion without a filter is rejected, and so is one of running jobs.
    for query in ["", "?state=running"] {
        let refused = server.raw("DELETE", format!("/v1/jobs{query}"), Some(server.admin()), "").await;
        assert_eq!(refused.status, 400, "{query}");
    }

    for path in ["data/x", "data/y", "other/z"] {
        server.put(path, "z").await;
    }
    let ask = server.cli(&["rm", "-r", "data/"]).await.status(2);
    assert!(ask.stderr.contains("delete 2 objects under data/?"), "{}", ask.stderr);
    server.cli(&["rm", "-r", "data/", "--yes"]).await.ok();
    let kept = server.cli(&["ls", "--json"]).await.ok();
    assert!(!kept.text().contains("data/") && kept.text().contains("other"), "{}", kept.text());
}
