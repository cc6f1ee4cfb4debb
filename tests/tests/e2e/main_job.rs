//! The README's main job and related jobs, through the CLI and the API. This test computes the expected numbers from
//! the same data with its own code.

use fabric_tests::{Options, Server, repository};
use serde_json::Value;
use std::collections::BTreeMap;

const MEASURES: [&str; 7] = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"];
/// Means are rounded to four decimals.
const ROUNDING: f64 = 0.000_05 + 1e-9;

fn data() -> Vec<u8> {
    std::fs::read(repository().join("examples/data/nyc-weather-2013.csv")).unwrap()
}

/// One observation.
struct Observation {
    station: String,
    month: String,
    readings: [Option<f64>; 7],
}

fn observations() -> Vec<Observation> {
    let data = data();
    let mut reader = csv::Reader::from_reader(data.as_slice());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|held| held == name).unwrap();
    let columns = MEASURES.map(column);
    let (station, year, month) = (column("origin"), column("year"), column("month"));
    reader
        .records()
        .map(|row| {
            let row = row.unwrap();
            let (year, month): (u32, u32) = (row[year].parse().unwrap(), row[month].parse().unwrap());
            Observation {
                station: row[station].to_owned(),
                month: format!("{year:04}-{month:02}"),
                readings: columns.map(|c| row[c].parse().ok()),
            }
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn check_summary(result: &Value) {
    let observations = observations();
    assert_eq!(observations.len(), 26_115);
    assert_eq!(result["rows"], 26_115);
    let mut groups: BTreeMap<(&str, &str), [Vec<f64>; 7]> = BTreeMap::new();
    for seen in &observations {
        let group = groups.entry((&seen.station, &seen.month)).or_default();
        for (values, reading) in group.iter_mut().zip(seen.readings) {
            values.extend(reading);
        }
    }
    let mut compared = 0;
    for ((station, month), group) in &groups {
        for (name, values) in MEASURES.iter().zip(group) {
            let given = &result["stations"][station][month][name];
            let at = format!("{station} {month} {name}: {given}");
            assert_eq!(given["count"], values.len(), "{at}");
            assert!((given["mean"].as_f64().unwrap() - mean(values)).abs() <= ROUNDING, "{at}");
            assert_eq!(given["min"].as_f64().unwrap(), values.iter().copied().fold(f64::INFINITY, f64::min), "{at}");
            assert_eq!(
                given["max"].as_f64().unwrap(),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "{at}"
            );
            let sum: f64 = given["sum"].as_str().unwrap().parse().unwrap();
            assert!((sum - values.iter().sum::<f64>()).abs() < 1e-6, "{at}");
            compared += 1;
        }
    }
    assert_eq!(compared, 3 * 12 * 7);
    assert_eq!(result["stations"].as_object().unwrap().len(), 3);
}

fn check_blocks(result: &Value) {
    let observations = observations();
    let blocks = result["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), observations.len().div_ceil(8));
    for (number, (block, rows)) in blocks.iter().zip(observations.chunks(8)).enumerate() {
        assert_eq!((&block["block"], &block["rows"]), (&number.into(), &rows.len().into()));
        for (at, name) in MEASURES.iter().enumerate() {
            let values: Vec<f64> = rows.iter().filter_map(|row| row.readings[at]).collect();
            match block["means"].get(name) {
                Some(given) => {
                    assert!((given.as_f64().unwrap() - mean(&values)).abs() <= ROUNDING, "block {number} {name}")
                }
                None => assert!(values.is_empty(), "block {number} {name}"),
            }
        }
    }
}

/// Returns the job that the CLI lists first, the newest.
async fn newest(server: &Server) -> Value {
    server.cli(&["jobs", "list", "--json", "--limit", "1"]).await.ok().json()["items"][0].clone()
}

#[tokio::test]
async fn the_main_job_gives_the_right_numbers_and_costs_nothing_the_second_time() {
    let server = Server::start(Options::default()).await;
    let example = repository().join("examples/weather");
    let example = example.to_str().unwrap();
    let csv = repository().join("examples/data/nyc-weather-2013.csv");
    let deployed = server.cli(&["deploy", example, "--no-build"]).await.ok();
    assert_eq!(deployed.text(), "weather@1\n");
    assert!(deployed.stderr.contains("pure"), "{deployed:?}");
    // Deploying the same again creates no version.
    assert!(server.cli(&["deploy", example, "--no-build"]).await.ok().stderr.contains("unchanged"));
    server.cli(&["put", csv.to_str().unwrap(), "weather/nyc-weather-2013.csv"]).await.ok();

    let line = |split| ["run", "weather", "--input", "weather/nyc-weather-2013.csv", "--split", split, "--reduce"];
    let planned = server.cli(&[&line("csv:100KiB")[..], &["--dry-run", "--json"]].concat()).await.ok().json();
    // Each partition after the first reads the header row again.
    let header = data().iter().position(|b| *b == b'\n').unwrap() as u64 + 1;
    let again = (planned["partitions"].as_u64().unwrap() - 1) * header;
    assert_eq!(planned["bytes_in"], data().len() as u64 + again, "{planned}");
    assert_eq!(planned["cached"], 0, "{planned}");
    assert_eq!(
        server.cli(&["jobs", "list", "--json"]).await.ok().json()["items"],
        serde_json::json!([]),
        "a dry run submitted a job"
    );

    let first = server.cli(&line("csv:100KiB")).await.ok();
    check_summary(&first.json());
    let job = newest(&server).await;
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["tasks"]["total"], planned["tasks"]);
    assert_eq!(job["tasks"]["cached"], 0);
    assert!(job["cost"]["fuel"].as_u64().unwrap() > 1_000_000, "{job}");
    assert!(job["cost"]["bytes_in"].as_u64().unwrap() >= data().len() as u64, "{job}");

    // The second run executes no task and reports the cache.
    let second = server.cli(&line("csv:100KiB")).await.ok();
    assert_eq!(second.stdout, first.stdout);
    let job = newest(&server).await;
    assert_eq!(job["tasks"]["cached"], job["tasks"]["total"], "{job}");
    assert_eq!(job["cost"]["fuel"], 0, "{job}");
    assert!(second.stderr.contains("cache"), "{}", second.stderr);
    let plan = server.cli(&[&line("csv:100KiB")[..], &["--dry-run", "--json"]].concat()).await.ok().json();
    assert_eq!(plan["cached"], plan["partitions"], "{plan}");

    // Any number of partitions and any shape of the reduce give the same bytes.
    let size = data().len();
    for (split, reduce) in [("object".to_owned(), "--reduce"), (format!("csv:{}", size / 26 + 1), "--reduce=2")] {
        let input = "weather/nyc-weather-2013.csv";
        let other = server.cli(&["run", "weather", "--input", input, "--split", &split, reduce]).await.ok();
        assert_eq!(other.stdout, first.stdout, "{split}");
    }
    // Block means. With whole objects as partitions, the blocks are those of the file.
    let blocks = ["run", "weather", "--input", "weather/", "--reduce", "--param", "blocks=true"];
    let blocks = server.cli(&blocks).await.ok().json();
    check_summary(&blocks);
    check_blocks(&blocks);
    // An audit runs the tasks again, with identical results.
    let id = job["id"].as_str().unwrap();
    let audit = server.cli(&["jobs", "audit", id, "--sample", "100%", "--json"]).await.ok().json();
    assert_eq!(audit["checked"], audit["same"]);
    assert!(audit["checked"].as_u64().unwrap() > 10, "{audit}");
    let usage = server.cli(&["usage", "--json"]).await.ok().json();
    assert!(usage["total"]["cached"].as_u64().unwrap() > 0 && usage["total"]["fuel"].as_u64().unwrap() > 0, "{usage}");
}

#[tokio::test]
async fn words_are_counted_by_tables_and_by_a_shuffle() {
    let server = Server::start(Options::default()).await;
    server.example("wordcount").await;
    let mut text = String::new();
    for (n, line) in String::from_utf8(data()).unwrap().lines().take(6000).enumerate() {
        text += &line.replace([',', '-'], if n % 3 == 0 { " " } else { "\t" });
        text += "\n";
    }
    let mut native: BTreeMap<String, u64> = BTreeMap::new();
    for word in text.split_ascii_whitespace() {
        *native.entry(word.to_owned()).or_default() += 1;
    }
    server.put("texts/a.txt", text).await;
    let line = ["run", "wordcount", "--input", "texts/", "--split", "lines:32KiB"];
    let table = server.cli(&[&line[..], &["--reduce"]].concat()).await.ok().json();
    assert_eq!(table["words"], serde_json::to_value(&native).unwrap());
    assert_eq!(table["total"].as_u64().unwrap(), native.values().sum::<u64>());
    let shuffled = server.cli(&[&line[..], &["--shuffle", "5", "--param", "emit=true"]].concat()).await.ok();
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for line in shuffled.text().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let before = words.insert(record["key"].as_str().unwrap().to_owned(), record["value"].as_u64().unwrap());
        assert!(before.is_none(), "{line} came twice");
    }
    assert_eq!(words, native);
    let job = newest(&server).await;
    assert_eq!(job["results"], 5);
    let id = job["id"].as_str().unwrap();
    let parts = server.cli(&["jobs", "result", id, "--list", "--json"]).await.ok().json();
    assert_eq!(parts["items"].as_array().unwrap().len(), 5);
    let found = server.cli(&["jobs", "result", id, "--q", "\"EWR\""]).await.ok();
    assert_eq!(found.text().lines().count(), 1, "{found:?}");
}

/// An independent implementation of `montecarlo-pi`.
fn inside(seed: u64, samples: u64) -> u64 {
    let next = |state: &mut u64| {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut first = seed;
    let mut state = next(&mut first);
    let hit = |bits: u64| u128::from(bits >> 32).pow(2) + u128::from(bits & 0xFFFF_FFFF).pow(2) < 1 << 64;
    (0..samples).filter(|_| hit(next(&mut state))).count() as u64
}

#[tokio::test]
async fn items_commands_and_http_functions_do_what_they_say() {
    let server = Server::start(Options::default()).await;
    for name in ["montecarlo-pi", "csv-clean", "http-hello", "noop"] {
        server.example(name).await;
    }
    // A list of items.
    let items: Vec<Value> = (1..=40).map(|seed| serde_json::json!({"seed": seed, "samples": 2000})).collect();
    std::fs::write(server.folder().join("items.json"), serde_json::to_string(&items).unwrap()).unwrap();
    let pi = server.cli(&["run", "montecarlo-pi", "--items", "@items.json", "--reduce"]).await.ok().json();
    assert_eq!(pi["total"], 80_000);
    assert_eq!(pi["inside"].as_u64().unwrap(), (1..=40).map(|seed| inside(seed, 2000)).sum::<u64>());

    // A filter in C: the partition on stdin, parameters as arguments, a line on stderr.
    let dirty = "name, value\n a ,1\nb,NULL\ntoo,many,fields\nc,\"x,y\"\nd,\n";
    std::fs::write(server.folder().join("dirty.csv"), dirty).unwrap();
    let clean = "name,value\na,1\nb,?\nc,\"x,y\"\nd,?\n";
    let ran = server.cli(&["run", "csv-clean", "--input", "./dirty.csv", "--param", "na=?"]).await.ok();
    assert_eq!(ran.text(), clean);
    let invoked = server.cli(&["invoke", "csv-clean", "--data", dirty, "--param", "na=?"]).await.ok();
    assert_eq!(invoked.text(), clean);
    let logs = async || server.cli(&["logs", "csv-clean"]).await.ok();
    fabric_tests::until("its stderr is in the log", async || !logs().await.text().is_empty()).await;

    // An http function, with its path and query.
    let answer = server.raw("GET", "/f/default/http-hello/a/b?c=d", Some(server.admin()), "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("path: /a/b\nquery: c=d\n"), "{}", answer.text);
    assert!(answer.text.to_ascii_lowercase().contains("content-type: text/plain"), "{}", answer.text);

    // An asynchronous call: accepted, awaited, its result fetched.
    let id = server.cli(&["invoke", "noop", "--data", "later", "--async"]).await.ok();
    let id = id.text().trim();
    let client = server.client();
    let ended = client.invocation(id, Some(std::time::Duration::from_secs(60))).await.unwrap();
    assert_eq!(ended.state, fabric_types::rest::invocation::InvocationState::Succeeded);
    let url = ended.result_url.unwrap();
    assert_eq!(url, format!("/v1/invocations/{id}/result"));
    assert!(server.raw("GET", url, Some(server.admin()), "").await.text.ends_with("later"));
    assert_eq!(server.cli(&["invoke", "noop", "--data", "now", "--async", "--wait"]).await.ok().text(), "now");
    assert_eq!(server.cli(&["invocations", "result", id]).await.ok().text(), "later");
    assert!(server.cli(&["invocations", "show", id]).await.ok().text().contains("succeeded"));
    let listed = server.cli(&["invocations", "--function", "noop", "--state", "succeeded", "--json"]).await.ok().json();
    assert!(listed["items"].as_array().unwrap().iter().any(|one| one["id"] == id), "{listed}");
    let unknown = server.cli(&["invocations", "result", "01JD0000000000000000000000"]).await.status(3);
    assert!(unknown.stderr.contains("not-found"), "{unknown:?}");

    // The same key with the same request returns the stored response, and with another request an error.
    let keyed =
        async |data: &str| server.cli(&["invoke", "noop", "--data", data, "--async", "--idempotency-key", "k1"]).await;
    let (first, again) = (keyed("x").await.ok(), keyed("x").await.ok());
    assert_eq!(first.text(), again.text());
    let mismatch = keyed("y").await.status(1);
    assert!(mismatch.stderr.contains("idempotency-mismatch"), "{mismatch:?}");
}

#[tokio::test]
async fn versions_aliases_and_the_bin() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    // Another manifest creates another version.
    server.deploy("noop", fabric_tests::built("noop"), "description = \"second\"").await;
    let versions = server.cli(&["versions", "noop", "--json"]).await.ok().json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    let ran = async |function: &str, data: &str| {
        server.cli(&["invoke", function, "--data", data, "--json"]).await.ok().json()["version"].as_u64().unwrap()
    };
    assert_eq!(ran("noop", "a").await, 2);
    assert_eq!(ran("noop@1", "a").await, 1);
    server.cli(&["rollback", "noop"]).await.ok();
    assert_eq!(ran("noop", "b").await, 1);
    // Calls are divided by weight: both versions receive calls, and the heavier one more.
    server.cli(&["alias", "noop", "split=1:10", "split=2:90"]).await.ok();
    let mut seen = [0_u32; 3];
    for n in 0..100 {
        let answer =
            server.client().invoke("noop:split", fabric_client::InvokeRequest::new(format!("{n}"))).await.unwrap();
        seen[answer.version.unwrap() as usize] += 1;
    }
    assert!(seen[1] > 0 && seen[2] > seen[1], "{seen:?}");
    server.cli(&["alias", "noop", "--delete", "split"]).await.ok();
    let _ = server.cli(&["invoke", "noop:split"]).await.status(3);

    // A deleted job is not listed and can be restored.
    let id = server.cli(&["run", "noop", "--items", "[1,2,3]", "--detach", "--name", "binned"]).await.ok();
    let id = id.text().trim();
    let _ = server.cli(&["jobs", "watch", id]).await.ok();
    let listed = async |flag: &[&str]| {
        let ran = server.cli(&[&["jobs", "list", "--json", "--name", "binned"], flag].concat()).await.ok();
        ran.json()["items"].as_array().unwrap().len()
    };
    assert_eq!(listed(&[]).await, 1);
    let _ = server.cli(&["jobs", "delete", id]).await.ok();
    assert_eq!((listed(&[]).await, listed(&["--deleted"]).await), (0, 1));
    let _ = server.cli(&["jobs", "restore", id]).await.ok();
    assert_eq!((listed(&[]).await, listed(&["--deleted"]).await), (1, 0));

    // A running job cannot be deleted, only cancelled.
    server.deploy("endless", fabric_tests::hostile("endless-loop"), "[limits]\nfuel = 1000000000000000").await;
    let id = server.cli(&["run", "endless", "--items", "[1,2,3]", "--detach"]).await.ok();
    let id = id.text().trim();
    server.until_metric("fabric_node_running_guests", |n| n > 0.0).await;
    let conflict = server.cli(&["jobs", "delete", id]).await.status(1);
    assert!(conflict.stderr.contains("error[conflict]"), "{conflict:?}");
    let _ = server.cli(&["jobs", "cancel", id]).await.ok();
    let job = server.client().wait_job(id).await.unwrap();
    assert_eq!(job.state, fabric_types::job::JobState::Cancelled);
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
    let _ = server.cli(&["jobs", "watch", id]).await.status(1);
}

#[tokio::test]
async fn logs_are_followed() {
    use tokio::io::AsyncBufReadExt as _;
    let server = Server::start(Options::default()).await;
    server.deploy("speaker", fabric_tests::hostile("exit-status"), "").await;
    let mut follower = server.cli_running(&["logs", "speaker", "--follow"]);
    let mut lines = tokio::io::BufReader::new(follower.stdout.take().unwrap()).lines();
    // The connection of the follower cannot be observed from outside, so calls go on until a line arrives.
    let speak = async {
        loop {
            assert_eq!(
                server
                    .client()
                    .invoke("speaker", fabric_client::InvokeRequest::new(""))
                    .await
                    .unwrap_err()
                    .code()
                    .as_str(),
                "guest-exit"
            );
            tokio::task::yield_now().await;
        }
    };
    let hear = async { lines.next_line().await.unwrap().unwrap() };
    let heard = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        tokio::select! { line = hear => line, () = speak => unreachable!() }
    });
    let line = heard.await.expect("no line was received");
    assert!(line.contains("the third kind of failure") || line.contains("status 3"), "{line}");
}

#[tokio::test]
async fn every_exit_status_means_what_the_table_says() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    server.example("weather").await;
    server.deploy("trap", fabric_tests::hostile("trap"), "").await;
    server.deploy("endless", fabric_tests::hostile("endless-loop"), "[limits]\nfuel = 100000").await;
    std::fs::write(server.folder().join("text.wasm"), "no module").unwrap();
    for (status, code, line) in [
        (0, "", "invoke noop --data x"),
        (0, "", "functions"),
        (0, "", "nodes"),
        (0, "", "explain noop"),
        (0, "", "config show"),
        (0, "", "version"),
        (0, "", "completions bash"),
        (1, "not-wasm", "deploy text.wasm"),
        (1, "invalid-params", "invoke weather --param block_rows=0"),
        (1, "invalid-params", "run weather --items [1] --param nonsense=1"),
        (2, "usage", "run noop --items {}"),
        (2, "", "invoke"),
        (2, "", "nonsense"),
        (3, "not-found", "invoke absent"),
        (3, "not-found", "run absent --items [1]"),
        (3, "not-found", "get absent/object"),
        (3, "not-found", "jobs show 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        (4, "unauthenticated", "functions --token made-up"),
        (5, "trap:unreachable", "invoke trap"),
        (5, "trap:unreachable", "run trap --items [1]"),
        (6, "out-of-fuel", "invoke endless"),
        (6, "out-of-fuel", "run endless --items [1]"),
        (7, "unreachable", "functions --url http://127.0.0.1:1"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = server.cli(&words).await.status(status);
        if status == 0 {
            assert!(!ran.stdout.is_empty(), "{ran:?}");
            continue;
        }
        assert!(ran.stdout.is_empty(), "a failed command wrote to standard output: {ran:?}");
        if !code.is_empty() {
            assert!(ran.stderr.contains(&format!("error[{code}]")), "{ran:?}");
            let ran = server.cli(&[&words[..], &["--json"]].concat()).await.status(status);
            let last = ran.stderr.lines().last().unwrap_or_default();
            let problem: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
            assert_eq!(problem["code"], code);
        }
    }
    let denied = server.token("default", fabric_types::rest::token::Role::Invoker).await;
    let denied = server.cli_with(&["ls"], &[("FABRIC_TOKEN", &denied)]).await.status(4);
    assert!(denied.stderr.contains("error[denied]"), "{denied:?}");
    server.example("montecarlo-pi").await;
    let items: Vec<Value> = (0..64).map(|seed| serde_json::json!({"seed": seed, "samples": 1000})).collect();
    let items = serde_json::to_string(&items).unwrap();
    let budget = server.cli(&["run", "montecarlo-pi", "--items", &items, "--budget", "1"]).await.status(6);
    assert!(budget.stderr.contains("error[budget-exhausted]"), "{budget:?}");
}
