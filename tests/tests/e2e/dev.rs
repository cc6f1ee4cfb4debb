//! `fabric dev`: a change to a watched file is deployed soon after.

use fabric_tests::{Options, Server};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const MANIFEST: &str = r#"
[function]
name = "live"

[build]
command = "cp source.wasm made.wasm"
module = "made.wasm"
watch = ["source.wasm"]
"#;

/// Returns a command that writes `word`.
fn module(word: &str) -> Vec<u8> {
    writes(1, word, word.len())
}

/// Returns a command that writes a line to standard error. `\
/// ` counts as one byte.
fn writes_to_stderr(line: &str) -> Vec<u8> {
    writes(2, line, line.len() - 1)
}

fn writes(to: u32, word: &str, length: usize) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "{word}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 16))
                (i32.store (i32.const 4) (i32.const {length}))
                (drop (call $write (i32.const {to}) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    ))
    .unwrap()
}

#[tokio::test]
async fn a_change_serves_soon_after_it_is_saved_and_live_stays() {
    let server = Server::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.wasm");
    std::fs::write(folder.path().join("fabric.toml"), MANIFEST).unwrap();
    std::fs::write(&source, module("first")).unwrap();
    std::fs::copy(&source, folder.path().join("made.wasm")).unwrap();
    server.cli(&["deploy", "--no-build", &folder.path().display().to_string()]).await.ok();
    std::fs::write(&source, module("before")).unwrap();
    // Run in the folder itself, the most common use.
    let mut dev = server.cli_command(&["dev"]).env("USER", "Ada.L").current_dir(folder.path()).spawn().unwrap();
    let mut live = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(dev.stderr.take().unwrap()).lines();
    let says = notes.next_line().await.unwrap().unwrap();
    assert!(says.contains("each version becomes live:dev-adal; `live` stays as it is"), "{says}");
    assert!(says.contains(server.url()) && says.contains("tenant default"), "{says}");
    for (number, word) in [(2, "before"), (3, "after"), (4, "at last")] {
        if number > 2 {
            // Save as editors do: rename a new file over the old one.
            std::fs::write(folder.path().join("source.wasm~"), module(word)).unwrap();
            std::fs::rename(folder.path().join("source.wasm~"), &source).unwrap();
        }
        let line = tokio::time::timeout(Duration::from_secs(60), live.next_line()).await;
        assert_eq!(line.expect("no new version").unwrap().as_deref(), Some(format!("live@{number}").as_str()));
        assert_eq!(server.cli(&["invoke", "live:dev-adal"]).await.ok().text(), word);
        assert_eq!(server.cli(&["invoke", "live"]).await.ok().text(), "first");
        while !notes.next_line().await.unwrap().unwrap().starts_with("watching") {}
    }
    let versions = server.cli(&["versions", "live", "--json"]).await.ok().json();
    let numbers: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 1], "versions of the session without an alias are deleted");
}

#[tokio::test]
async fn what_calls_write_is_shown() {
    let server = Server::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fabric.toml"), MANIFEST).unwrap();
    std::fs::write(folder.path().join("source.wasm"), writes_to_stderr("look here\\n")).unwrap();
    let mut dev = server.cli_command(&["dev", "--alias", "mine"]).current_dir(folder.path()).spawn().unwrap();
    let mut live = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(dev.stderr.take().unwrap()).lines();
    live.next_line().await.unwrap().unwrap();
    let shown = async {
        loop {
            let line = notes.next_line().await.unwrap().unwrap();
            if line.contains("look here") {
                break line;
            }
        }
    };
    let calls = async {
        loop {
            server.cli(&["invoke", "live:mine"]).await.ok();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let line = tokio::select! {
        line = tokio::time::timeout(Duration::from_secs(60), shown) => line.expect("no log line was shown"),
        () = calls => unreachable!(),
    };
    assert!(line.contains(" live"), "{line}");
}
