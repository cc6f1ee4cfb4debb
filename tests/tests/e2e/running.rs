//! Running jobs from the command line: output before a job runs, while it waits and after it has ended.

use fabric_tests::{Options, Server, built, cat, until};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};

async fn deployed(name: &str, module: bytes::Bytes, manifest: &str) -> Server {
    let server = Server::start(Options::default()).await;
    let at = server.folder().join(format!("{name}.wasm"));
    std::fs::write(&at, module).unwrap();
    let text = server.folder().join("m.toml");
    std::fs::write(&text, format!("[function]\nname = \"{name}\"\n{manifest}")).unwrap();
    server.cli(&["deploy", &at.display().to_string(), "--manifest", &text.display().to_string()]).await.ok();
    server
}

#[tokio::test]
async fn a_job_that_waits_says_why() {
    let server = deployed("cat", cat(), "[resources.node-selector]\nzone = \"moon\"").await;
    let mut run = server.cli_command(&["run", "cat", "--items", "[1]"]).spawn().unwrap();
    let mut notes = BufReader::new(run.stderr.take().unwrap()).lines();
    let said = async {
        loop {
            let line = notes.next_line().await.unwrap().unwrap();
            if line.contains("waiting: ") {
                break line;
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(30), said).await.expect("no reason was given");
    assert!(line.contains("it needs label zone=moon, and no node has that"), "{line}");
}

#[tokio::test]
async fn an_output_that_can_not_be_written_costs_nothing() {
    let server = deployed("cat", cat(), "").await;
    let missing = server.folder().join("missing/out.json").display().to_string();
    let folder = server.folder().display().to_string();
    for (output, status) in [(missing.as_str(), 3), (folder.as_str(), 2), ("a//b/", 1)] {
        let failed = server.cli(&["run", "cat", "--items", "[1]", "--output", output]).await;
        assert_eq!(failed.status, status, "{failed:?}");
    }
    let jobs = server.cli(&["jobs", "--json"]).await.ok().json();
    assert!(jobs["items"].as_array().unwrap().is_empty(), "no job was submitted: {jobs}");
    // The names of the stored results are reported.
    let stored = server.cli(&["run", "cat", "--items", "[1,2]", "--output", "results/"]).await.ok();
    assert!(stored.stderr.contains("2 results are stored as results/part-00000 to results/part-00001"), "{stored:?}");
    assert_eq!(server.cli(&["get", "results/part-00001"]).await.ok().text(), "2");
    let here = server.folder().join("parts");
    let local = format!("{}/", here.display());
    server.cli(&["run", "cat", "--items", "[1,2]", "--output", &local]).await.ok();
    assert_eq!(std::fs::read_to_string(here.join("part-00000")).unwrap(), "1");
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_runs_nothing() {
    let server = deployed("cat", cat(), "").await;
    let file = server.folder().join("data.txt");
    std::fs::write(&file, "a\nb\n").unwrap();
    let local = format!("{}", file.display());
    let refused = server.cli(&["run", "cat", "--input", &local, "--dry-run"]).await.status(2);
    assert!(refused.stderr.contains("is not stored, and a dry run stores nothing"), "{refused:?}");
    assert!(server.cli(&["ls", "-r", "--json"]).await.ok().json()["items"].as_array().unwrap().is_empty());
    let ran = server.cli(&["run", "cat", "--input", &local]).await.ok();
    assert_eq!(ran.text(), "a\nb\n");
    // A file is identified by its content, not by its local name. The estimate is based on the earlier job.
    let dry = server.cli(&["run", "cat", "--input", &local, "--no-cache", "--dry-run"]).await.ok();
    assert!(dry.text().contains("basis       1 earlier job of cat@1, per byte of input"), "{dry:?}");
}

#[tokio::test]
async fn jobs_are_named_by_the_beginning_of_their_id_and_run_again() {
    let server = deployed("cat", cat(), "").await;
    let id = server.cli(&["run", "cat", "--items", "[\"a\",\"b\"]", "--detach"]).await.ok().text().trim().to_owned();
    // A job is listed some milliseconds after it was accepted.
    server.cli(&["jobs", "watch", &id]).await.ok();
    until("the job is listed", async || server.cli(&["jobs", "watch", &id[..20]]).await.status == 0).await;
    let shown = server.cli(&["jobs", "show", &id[..20].to_lowercase()]).await.ok();
    assert!(shown.text().contains(&id) && shown.text().contains("results   2"), "{shown:?}");
    let again = server.cli(&["jobs", "retry", &id[..20]]).await.ok();
    assert!(again.stderr.contains("2 of 2 tasks served from the cache"), "{again:?}");
    let several = server.cli(&["jobs", "show", &id[..4]]).await.status(2);
    assert!(several.stderr.contains("begins several ids") && several.stderr.contains(&id), "{several:?}");
    let none = server.cli(&["jobs", "show", "7ZZZZZZZ"]).await.status(3);
    assert!(none.stderr.contains("no job's id begins with"), "{none:?}");
    server.cli(&["jobs", "show", "01J"]).await.status(2);
}

#[tokio::test]
async fn parameters_come_from_files_and_are_text_where_text_is_wanted() {
    let params =
        "[params]\ntype = \"object\"\nproperties = { zip = { type = \"string\" }, year = { type = \"integer\" } }";
    let server = deployed("cat", cat(), params).await;
    server.cli(&["invoke", "cat", "-p", "zip=08001", "-p", "year=2013", "--data", "x"]).await.ok();
    server.cli(&["run", "cat", "-p", "zip=123", "--items", "[1]"]).await.ok();
    let wrong = server.cli(&["invoke", "cat", "-p", "year=soon", "--data", "x"]).await;
    assert!(wrong.status != 0 && wrong.stderr.contains("`/year`"), "{wrong:?}");
    let file = server.folder().join("p.json");
    std::fs::write(&file, "{\"zip\": \"1\", \"year\": \"soon\"}").unwrap();
    let from = format!("@{}", file.display());
    let wrong = server.cli(&["invoke", "cat", "-p", &from, "--data", "x"]).await;
    assert!(wrong.status != 0 && wrong.stderr.contains("`/year`"), "{wrong:?}");
    server.cli(&["invoke", "cat", "-p", &from, "-p", "year=1", "--data", "x"]).await.ok();
    std::fs::write(&file, "[1]").unwrap();
    let wrong = server.cli(&["invoke", "cat", "-p", &from, "--data", "x"]).await.status(2);
    assert!(wrong.stderr.contains("a parameter file is a JSON object"), "{wrong:?}");
}

#[tokio::test]
async fn fuel_is_written_in_one_way_everywhere() {
    let server = deployed("cat", cat(), "[limits]\nfuel = \"10G\"").await;
    assert_eq!(server.client().version("cat", 1).await.unwrap().manifest.limits.fuel, 10_000_000_000);
    let spec = server.folder().join("job.yaml");
    std::fs::write(&spec, "function: cat\ninput: {items: [1]}\nbudget-fuel: 10G\n").unwrap();
    let id =
        server.cli(&["run", "--spec", &spec.display().to_string(), "--detach"]).await.ok().text().trim().to_owned();
    assert_eq!(server.client().job(&id, None).await.unwrap().spec.budget_fuel, Some(10_000_000_000));
    server.cli(&["tenants", "set", "default", "--ceiling", "fuel=5G"]).await.ok();
    std::fs::write(&spec, "function: cat\ninput: {items: [1]}\nbudget-fuel: lots\n").unwrap();
    let wrong = server.cli(&["run", "--spec", &spec.display().to_string()]).await.status(2);
    assert!(wrong.stderr.contains("line 3") && wrong.stderr.contains("`budget-fuel: lots`"), "{wrong:?}");
}

#[tokio::test]
async fn a_shell_completes_names_of_functions() {
    let server = deployed("catalogue", cat(), "").await;
    let script = server.cli(&["completions", "bash"]).await.ok();
    assert!(script.text().contains("FABRIC_COMPLETE"), "{script:?}");
    let complete = async |words: &[&str]| {
        let mut command = server.cli_command(&[]);
        command
            .args(["--"])
            .args(words)
            .env("FABRIC_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
        command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["fabric", "invoke", "cat"]).await.trim(), "catalogue");
    assert_eq!(complete(&["fabric", "invoke", "dog"]).await.trim(), "");
    assert!(complete(&["fabric", "jo"]).await.contains("jobs"));
    let job = server.cli(&["run", "catalogue", "--items", "[1]", "--detach"]).await.ok().text().trim().to_owned();
    let known = async || complete(&["fabric", "jobs", "show", &job[..10]]).await.trim() == job;
    until("the job is listed", known).await;
}

#[tokio::test]
async fn help_is_a_command_too() {
    let server = deployed("pi", built("montecarlo-pi"), "").await;
    let help = server.cli(&["help", "run"]).await.ok();
    assert!(help.text().contains("fabric run") && help.text().contains("--dry-run"), "{help:?}");
    assert!(server.cli(&["help"]).await.ok().text().contains("Usage: fabric"));
}

#[tokio::test]
async fn a_call_runs_only_on_nodes_that_its_function_asks_for() {
    let server = deployed("cat", cat(), "[resources.node-selector]\nzone = \"moon\"").await;
    let refused = server.cli(&["invoke", "cat", "--data", "x"]).await;
    assert!(refused.status != 0 && refused.stderr.contains("has a slot and the labels zone=moon"), "{refused:?}");
}
