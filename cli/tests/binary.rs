//! Tests of the binary as a process. They also make cargo build `fabric` along with the tests, with the same features:
//! the end-to-end suite in `tests/` runs the binary in the target folder.
#![allow(clippy::unwrap_used)]

use std::process::Command;

fn fabric(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fabric")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn data_goes_to_stdout_and_complaints_to_stderr() {
    let (status, stdout, stderr) = fabric(&["--version"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("fabric "), "{stdout}");
    let (status, stdout, stderr) = fabric(&["frobnicate"]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("frobnicate"), "{stderr}");
}

#[test]
fn a_server_beyond_loopback_needs_tls() {
    let (status, _, stderr) = fabric(&["serve", "--listen", "0.0.0.0:0", "--data", "/nonexistent"]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("--insecure-listen"), "{stderr}");
}
