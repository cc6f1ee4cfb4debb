//! Data sets: splitters lose no data, unreadable input gives an error with a hint, and a job without tasks is rejected
//! in the same way by the CLI and by REST.

use fabric_tests::{Options, Server, cat, repository};
use serde_json::{Value, json};

/// Returns the first rows of the weather observations with an extra first column and this line ending.
fn weather(rows: usize, column: &str, value: impl Fn(usize) -> String, line_end: &str) -> String {
    let data = std::fs::read_to_string(repository().join("examples/data/nyc-weather-2013.csv")).unwrap();
    let mut lines = data.lines();
    let mut text = format!("{column},{}{line_end}", lines.next().unwrap());
    for (at, line) in lines.take(rows).enumerate() {
        text += &format!("{},{line}{line_end}", value(at));
    }
    text
}

#[tokio::test]
async fn no_row_of_a_csv_is_lost_or_cut_by_its_splitter() {
    let server = Server::start(Options::default()).await;
    server.example("weather").await;
    for (path, text) in [
        ("in/marks.csv", weather(40, "size (\")", |at| format!("{at}\" pipe"), "\n")),
        ("in/returns.csv", weather(40, "note", |at| format!("\"two,\rlines {at}\""), "\r")),
        (
            "in/quotes.csv",
            weather(40, "note", |at| if at % 2 == 0 { "3\"".into() } else { "\"a\nb\n\"".into() }, "\r\n"),
        ),
        ("in/blank.csv", format!("\n\r\n{}\n\n", weather(40, "note", |at| at.to_string(), "\n\n"))),
        ("in/marked.csv", format!("\u{feff}{}", weather(40, "note", |at| at.to_string(), "\n"))),
    ] {
        server.put(path, text).await;
    }
    let line = |split| ["run", "weather", "--input", "in/", "--split", split, "--reduce"];
    let whole = server.cli(&line("object")).await.ok();
    assert_eq!(whole.json()["rows"], 200);
    for split in ["csv:1", "csv:300", "csv:1KiB", "csv:1MiB:comma"] {
        assert_eq!(server.cli(&line(split)).await.ok().stdout, whole.stdout, "{split}");
    }
    let planned = server.cli(&[&line("csv:1")[..], &["--dry-run", "--json"]].concat()).await.ok().json();
    assert_eq!(planned["partitions"], 200, "a row each");
}

#[tokio::test]
async fn what_a_splitter_can_not_read_is_an_error_that_says_what_to_do() {
    let server = Server::start(Options::default()).await;
    server.deploy("cat", cat(), "").await;
    let text = "id;note\n1;\"a\nb\"\n2;c\n";
    server.put("semicolons.csv", text).await;
    server.put("wide.csv", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).await;
    server.put("encrypted.parquet", "PAR1 ciphertext \x08\0\0\0PARE").await;
    for (input, split, says) in [
        ("semicolons.csv", "csv:1KiB", "hint: name the delimiter: csv:1KiB:semicolon"),
        ("wide.csv", "csv:1KiB", "UTF-16LE"),
        ("wide.csv", "lines:4", "UTF-16LE"),
        ("wide.csv", "items", "UTF-16LE"),
        ("encrypted.parquet", "parquet", "its footer is encrypted"),
    ] {
        let ran = server.cli(&["run", "cat", "--input", input, "--split", split]).await.status(1);
        assert!(ran.stderr.contains("error[invalid-input-spec]") && ran.stderr.contains(says), "{ran:?}");
    }
    let ran = server.cli(&["run", "cat", "--input", "semicolons.csv", "--split", "csv:1:semicolon"]).await.ok();
    assert_eq!(ran.text(), "id;note\n1;\"a\nb\"\nid;note\n2;c\n");
    assert_eq!(server.cli(&["run", "cat", "--input", "semicolons.csv"]).await.ok().text(), text);
}

/// Writes its arguments, except the first, each followed by a line feed.
const ARGUMENTS: &str = r#"(module
 (import "wasi_snapshot_preview1" "args_sizes_get" (func $s (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "args_get" (func $a (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "_start") (local $n i32) (local $at i32) (local $end i32)
  (drop (call $s (i32.const 0) (i32.const 4)))
  (drop (call $a (i32.const 1024) (i32.const 8192)))
  (local.set $at (i32.const 8192))
  (local.set $end (i32.add (i32.const 8192) (i32.load (i32.const 4))))
  (block $done (loop $next
   (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
   (if (i32.eqz (i32.load8_u (local.get $at))) (then (i32.store8 (local.get $at) (i32.const 10))))
   (local.set $at (i32.add (local.get $at) (i32.const 1)))
   (br $next)))
  (i32.store (i32.const 16) (i32.load (i32.const 1028)))
  (i32.store (i32.const 20) (i32.sub (local.get $end) (i32.load (i32.const 1028))))
  (drop (call $w (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))"#;

#[tokio::test]
async fn numbers_keep_their_digits_on_every_way_to_a_guest() {
    let server = Server::start(Options::default()).await;
    server.deploy("cat", cat(), "").await;
    server.deploy("arguments", wat::parse_str(ARGUMENTS).unwrap().into(), "").await;
    let numbers = [
        "0",
        "-0",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1.0",
        "1.10",
        "0.1000000000000000055511151231257827",
        "1e5",
        "1.5e-7",
        "1e400",
        "{\"a\":[123456789012345678901234567890,1.10]}",
    ];
    let lines = numbers.map(|number| format!("{number}\n")).concat();
    let list = format!("[{}]", numbers.join(", "));
    server.put("numbers", lines.clone()).await;
    let stored = server.cli(&["run", "cat", "--input", "numbers", "--split", "items"]).await.ok();
    assert_eq!(stored.text(), numbers.concat());

    // Inline items: from the command line, from a file, over REST; as items and as parameters.
    std::fs::write(server.folder().join("items.json"), &list).unwrap();
    let spec = format!("{{\"function\": \"cat\", \"input\": {{\"items\": {list}}}}}");
    std::fs::write(server.folder().join("spec.json"), &spec).unwrap();
    for line in [
        ["run", "cat", "--items", &list],
        ["run", "cat", "--items", "@items.json"],
        ["run", "--spec", "spec.json", "-q"],
    ] {
        assert_eq!(server.cli(&line).await.ok().stdout, stored.stdout, "{line:?}");
    }
    let answer = server.raw("POST", "/v1/jobs", Some(server.admin()), &spec).await;
    assert!(answer.status < 300, "{}", answer.text);
    for number in numbers {
        let param = format!("x={number}");
        for line in [
            &["run", "arguments", "--items", "[1]", "--param", &param][..],
            &["invoke", "arguments", "--param", &param],
            &["invoke", "arguments", "--param", &param, "--async", "--wait"],
        ] {
            assert_eq!(server.cli(line).await.ok().text(), format!("--x={number}\n"), "{line:?}");
        }
    }
    // The job list shows the numbers as they were submitted.
    let shown = server.cli(&["jobs", "list", "--json"]).await.ok();
    assert!(shown.text().contains("123456789012345678901234567890"), "{}", shown.text());
}

#[tokio::test]
async fn numbers_that_differ_are_different_tasks() {
    let server = Server::start(Options::default()).await;
    server.deploy("arguments", wat::parse_str(ARGUMENTS).unwrap().into(), "").await;
    // The numbers of each pair are the same 64-bit float.
    for number in ["18446744073709551617", "18446744073709551618", "9007199254740992", "9007199254740993"] {
        let param = format!("x={number}");
        let line = ["run", "arguments", "--items", "[1]", "--param", &param];
        let plan = async || server.cli(&[&line[..], &["--dry-run", "--json"]].concat()).await.ok().json();
        assert_eq!(plan().await["cached"], 0, "{number}");
        assert_eq!(server.cli(&line).await.ok().text(), format!("--x={number}\n"));
        assert_eq!(plan().await["cached"], 1, "{number}");
    }
}

#[tokio::test]
async fn numbers_that_yaml_would_round_are_refused() {
    let server = Server::start(Options::default()).await;
    server.deploy("cat", cat(), "").await;
    let spec = "function: cat\ninput:\n  items: [123456789012345678901234567890]\n";
    std::fs::write(server.folder().join("spec.yaml"), spec).unwrap();
    let ran = server.cli(&["run", "--spec", "spec.yaml"]).await.status(2);
    assert!(ran.stderr.contains("quote it, or send JSON"), "{ran:?}");
    let quoted = spec.replace("[1", "['1").replace("0]", "0']");
    std::fs::write(server.folder().join("spec.yaml"), quoted).unwrap();
    let ran = server.cli(&["run", "--spec", "spec.yaml"]).await.ok();
    assert_eq!(ran.text(), "123456789012345678901234567890");
}

#[tokio::test]
async fn a_job_over_nothing_is_refused() {
    let server = Server::start(Options::default()).await;
    server.example("wordcount").await;
    server.put("header/a.csv", "id,note\n").await;
    server.put("header/b.csv", "id,note\r\n\r\n").await;
    server.put("empty/a", "").await;
    server.put("blank", "\n\n").await;
    let objects = |path: &str, split: &str| json!({"objects": {"path": path, "split": split}});
    for (flags, input, says) in [
        (["--items", "[]", "", ""], json!({"items": []}), "the list of items is empty"),
        (
            ["--input", "header/", "--split", "csv"],
            objects("header/", "csv"),
            "`header/` gives no task: each of the 2 objects has no row after its header row",
        ),
        (["--input", "empty/", "--split", "object"], objects("empty/", "object"), "the object has no bytes"),
        (["--input", "blank", "--split", "items"], objects("blank", "items"), "the object has only empty lines"),
    ] {
        let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.is_empty()).collect();
        for more in [&[][..], &["--reduce"], &["--shuffle", "2"], &["--reduce", "--dry-run"]] {
            let ran = server.cli(&[&["run", "wordcount"], &flags[..], more].concat()).await.status(1);
            assert!(ran.stderr.contains("error[invalid-input-spec]") && ran.stderr.contains(says), "{ran:?}");
            assert!(ran.stdout.is_empty() && ran.stderr.contains("hint: "), "{ran:?}");
        }
        for reduce in [json!(null), json!({}), json!({"fan-in": 2})] {
            let spec = json!({"function": "wordcount", "input": input, "reduce": reduce}).to_string();
            let answer = server.raw("POST", "/v1/jobs", Some(server.admin()), &spec).await;
            assert_eq!((answer.status, answer.code().as_deref()), (422, Some("invalid-input-spec")), "{}", answer.text);
            assert!(answer.text.contains(says), "{}", answer.text);
        }
    }
    let listed = server.cli(&["jobs", "list", "--json"]).await.ok().json();
    assert_eq!(listed["items"], Value::Array(Vec::new()), "nothing was accepted");
    // Objects without rows are not an error if other objects have some.
    server.put("header/c.csv", "id,note\n1,a\n").await;
    let ran = server.cli(&["run", "wordcount", "--input", "header/", "--split", "csv", "--reduce"]).await.ok();
    assert_eq!(ran.json()["total"], 2);
}
