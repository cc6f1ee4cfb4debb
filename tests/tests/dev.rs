//! `fabric dev`: a change of a watched file is live soon after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

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

/// A command that writes `word`.
fn module(word: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "{word}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 16))
                (i32.store (i32.const 4) (i32.const {}))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        word.len()
    ))
    .unwrap()
}

#[tokio::test]
async fn a_change_is_live_soon_after_it_is_saved() {
    let server = Server::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.wasm");
    std::fs::write(folder.path().join("fabric.toml"), MANIFEST).unwrap();
    std::fs::write(&source, module("before")).unwrap();
    // In the folder itself, as most people do.
    let mut dev = server.cli_command(&["dev"]).current_dir(folder.path()).spawn().unwrap();
    let mut live = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(dev.stderr.take().unwrap()).lines();
    for (number, word) in [(1, "before"), (2, "after"), (3, "at last")] {
        if number > 1 {
            // Saved as editors do it: a new file in the old one's place.
            std::fs::write(folder.path().join("source.wasm~"), module(word)).unwrap();
            std::fs::rename(folder.path().join("source.wasm~"), &source).unwrap();
        }
        let line = tokio::time::timeout(Duration::from_secs(60), live.next_line()).await;
        assert_eq!(line.expect("no new version").unwrap().as_deref(), Some(format!("live@{number}").as_str()));
        assert_eq!(server.cli(&["invoke", "live"]).await.ok().text(), word);
        while !notes.next_line().await.unwrap().unwrap().starts_with("watching") {}
    }
}
