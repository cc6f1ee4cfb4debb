//! The command line for a user's first function: names, failures, logs, versions, tokens.

use fabric_tests::{Options, Ran, Server, built, manifest};
use std::path::Path;

/// A command that writes `text` to standard error and traps.
fn fails_with(text: &str) -> bytes::Bytes {
    let data: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
    let module = format!(
        r#"(module
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1) (data (i32.const 64) "{data}")
 (func $work (unreachable))
 (func $rust_panic (call $work))
 (func (export "_start")
  (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {}))
  (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
  (call $rust_panic)))"#,
        text.len()
    );
    wat::parse_str(module).unwrap().into()
}

async fn listed(server: &Server) -> Vec<String> {
    let page = server.cli(&["ls", "-r", "--json"]).await.ok().json();
    page["items"].as_array().unwrap().iter().map(|o| o["path"].as_str().unwrap().to_owned()).collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn no_name_is_changed_on_its_way_to_the_server() {
    let server = Server::start(Options::default()).await;
    let here = server.folder().join("here");
    write(&here, "plain", "1");
    let file = here.join("plain").display().to_string();
    server.cli(&["put", &file, "dir/ab"]).await.ok();
    for wrong in ["dir/a\tb", "dir/a\nb", "dir/a\rb", "dir/a\u{7f}b", "dir//ab", "dir/./ab", "dir\\ab", "/dir/ab"] {
        for args in [&["rm", wrong][..], &["get", wrong], &["put", &file, wrong], &["run", "f", "--input", wrong]] {
            let failed = server.cli(args).await;
            assert_ne!(failed.status, 0, "{failed:?}");
            let is_local = args[0] == "run" && wrong.starts_with('/');
            assert!(is_local || failed.stderr.contains("invalid-path"), "{failed:?}");
        }
    }
    assert_eq!(listed(&server).await, ["dir/ab"]);
    // A valid name arrives unchanged, even if it contains characters that a URL would interpret.
    for name in ["%2e%2e/50%", "a?b#c", " a ", "ü;=&+@:$", "...", "a%09b"] {
        server.cli(&["put", &file, name]).await.ok();
        assert_eq!(server.cli(&["get", name]).await.ok().text(), "1", "{name}");
        server.cli(&["rm", name]).await.ok();
    }
    assert_eq!(listed(&server).await, ["dir/ab"]);
    // Uploading a folder stores all of its files or none.
    let both = server.folder().join("both");
    write(&both, "ab", "2");
    write(&both, "a\tb", "3");
    let failed = server.cli(&["put", &both.display().to_string(), "dir"]).await;
    assert!(failed.status != 0 && failed.stderr.contains("invalid-path"), "{failed:?}");
    assert_eq!(server.cli(&["get", "dir/ab"]).await.ok().text(), "1");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_whose_name_is_not_text_is_not_stored_under_another() {
    use std::os::unix::ffi::OsStrExt as _;
    let server = Server::start(Options::default()).await;
    let folder = server.folder().join("odd");
    std::fs::create_dir_all(&folder).unwrap();
    let odd = folder.join(std::ffi::OsStr::from_bytes(b"a\xff"));
    std::fs::write(&odd, "1").unwrap();
    for source in [&odd, &folder] {
        let output = server.cli_command(&["put"]).arg(source).arg("dir/").output().await.unwrap();
        let failed = Ran::new(&["put"], output).status(2);
        assert!(failed.stderr.contains("UTF-8"), "{failed:?}");
    }
    assert_eq!(listed(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_panic_is_its_message_with_the_functions_own_frames() {
    let server = Server::start(Options::default()).await;
    let said = "reading row 7\nthread 'main' panicked at src/lib.rs:12:5:\nindex out of bounds: the len is 3\n\
                note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
    server.deploy("fails", fails_with(said), "").await;
    let failed = server.cli(&["invoke", "fails"]).await.status(5);
    let lines: Vec<_> = failed.stderr.lines().collect();
    assert_eq!(lines[0], "stderr: reading row 7");
    assert_eq!(lines[1], "error[trap:unreachable]: panicked at src/lib.rs:12:5: index out of bounds: the len is 3");
    assert!(lines[2].trim().starts_with("0: work"), "{failed:?}");
    assert!(!failed.stderr.contains("RUST_BACKTRACE") && !failed.stderr.contains("rust_panic"), "{failed:?}");
    // The log has the complete output, and the panic message in its last line.
    let log = server.cli(&["logs", "fails"]).await.ok();
    let last = log.text().lines().last().unwrap();
    assert!(last.ends_with("panicked at src/lib.rs:12:5: index out of bounds: the len is 3"), "{last}");
    // Without a panic message, the last lines of stderr are shown anyway.
    server.deploy("exits", fails_with("no such station: X1\n"), "").await;
    let failed = server.cli(&["invoke", "exits"]).await.status(5);
    assert!(failed.stderr.starts_with("stderr: no such station: X1\nerror[trap:unreachable]: "), "{failed:?}");
}

#[tokio::test]
async fn logs_show_the_end_and_an_invocations_own_by_the_beginning_of_its_id() {
    let server = Server::start(Options::default()).await;
    let many: String = (0..30).map(|n| format!("line {n}\n")).collect();
    server.deploy("talks", fails_with(&many), "").await;
    server.deploy("other", fails_with("other\n"), "").await;
    for function in ["talks", "other"] {
        let _ = server.cli(&["invoke", function]).await.status(5);
    }
    let texts = async |args: &[&str]| -> Vec<String> {
        let page = server.cli(&[&["logs", "--json"], args].concat()).await.ok().json();
        page["items"].as_array().unwrap().iter().map(|l| l["message"].as_str().unwrap().to_owned()).collect()
    };
    // The log has 30 lines and the fault. The newest are listed, in the order of writing.
    let last = texts(&["talks", "--limit", "3"]).await;
    assert_eq!(last[..2], ["line 28", "line 29"]);
    assert!(last[2].starts_with("trap:unreachable"), "{last:?}");
    let shown = server.cli(&["logs", "talks", "-n", "3"]).await.ok();
    assert!(shown.stderr.contains("the last 3 lines") && shown.text().lines().count() == 3, "{shown:?}");
    assert_eq!(texts(&["talks", "--level", "error"]).await.len(), 1);
    assert_eq!(texts(&["talks", "--since", "1h"]).await.len(), 31);
    let page = server.cli(&["logs", "talks", "--json"]).await.ok().json();
    let id = page["items"][0]["invocation_id"].as_str().unwrap().to_owned();
    for length in [26, 20] {
        assert_eq!(texts(&[&id[..length]]).await.len(), 31, "{length}");
    }
    // Ids of the same hour share a prefix.
    let several = server.cli(&["logs", &id[..4]]).await.status(2);
    assert!(several.stderr.contains("begins several ids") && several.stderr.contains(&id), "{several:?}");
    let _ = server.cli(&["logs", "ZZZZZZ"]).await.status(3);
}

#[tokio::test]
async fn a_token_is_made_for_another_tenant_and_acts_in_one() {
    let server = Server::start(Options::default()).await;
    for args in [
        &["token", "create", "ci", "--for", "acme"][..],
        &["--tenant", "acme", "token", "create", "ci"],
        &["token", "create", "ci", "--tenant", "acme"],
    ] {
        let made = server.cli(args).await.ok();
        assert!(made.stderr.contains("for tenant acme"), "{made:?}");
    }
}

#[tokio::test]
async fn a_deployment_says_what_is_live_and_how_it_is_called() {
    let server = Server::start(Options::default()).await;
    let folder = server.folder().join("project");
    let deploy = async |description: &str, more: &[&str]| {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("m.wasm"), built("http-hello")).unwrap();
        let text =
            manifest("web", &format!("public = true\ndescription = \"{description}\"\n[build]\nmodule = \"m.wasm\""));
        std::fs::write(folder.join("fabric.toml"), text).unwrap();
        let folder = folder.display().to_string();
        server.cli(&[&["deploy", &folder, "--no-build"], more].concat()).await.ok().stderr
    };
    let said = deploy("1", &["--no-promote"]).await;
    assert!(said.contains("nothing is live; make this version live: fabric alias web live=1"), "{said}");
    assert!(said.contains(&format!("call it: {}/f/default/web@1/", server.url())), "{said}");
    let said = deploy("2", &[]).await;
    assert!(said.contains("live: web@2\n"), "{said}");
    assert!(said.contains(&format!("call it: {}/f/default/web/\n", server.url())), "{said}");
    server.cli(&["alias", "web", "live=1:10", "live=2:90"]).await.ok();
    let said = deploy("3", &["--note", "first"]).await;
    assert!(said.contains("live: web@3, before 1:10 2:90; calls are no longer divided"), "{said}");
    let said = deploy("3", &["--note", "second"]).await;
    assert!(said.contains("unchanged: web@3") && said.contains("live, as before: web@3"), "{said}");
    let versions = server.cli(&["versions", "web"]).await.ok();
    assert!(versions.text().contains("second") && !versions.text().contains("first"), "{versions:?}");
    // Permanent deletion asks for confirmation, and here is no terminal for it.
    for args in [&["versions", "web", "--delete", "1"][..], &["functions", "delete", "web"]] {
        let refused = server.cli(args).await.status(2);
        assert!(refused.stderr.contains("--yes"), "{refused:?}");
        let _ = server.cli(&[args, &["--yes"]].concat()).await.ok();
        let _ = server.cli(&[args, &["--yes"]].concat()).await.status(3);
    }
}
