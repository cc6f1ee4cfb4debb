//! Tests of the operations that a confined process can no longer perform. Each case runs in a separate process, which
//! the test starts from its own binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fabric_confine::{Calls, Enforcement, Files, User, calls, compute_only, files};
use std::{
    fs, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const CASE: &str = "FABRIC_CONFINE_CASE";

/// Returns the folder of a case if this is the process that was started for it.
fn folder(case: &str) -> Option<PathBuf> {
    std::env::var(CASE).ok()?.strip_prefix(&format!("{case}=")).map(PathBuf::from)
}

/// Runs `case` again in a separate process, with a folder that contains a secret.
fn in_a_process(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("admin-token");
    fs::write(&token, "secret").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([case, "--exact", "--nocapture", "--test-threads=1"])
        .env(CASE, format!("{case}={}", dir.path().display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(!dir.path().join("written").exists());
}

fn denied<T>(what: &str, result: io::Result<T>) {
    let error = result.err().unwrap_or_else(|| panic!("{what} is still possible"));
    assert!(matches!(error.raw_os_error(), Some(1 | 13)), "{what}: {error}");
}

fn nothing_outside(dir: &Path) {
    denied("reading the token", fs::read(dir.join("admin-token")));
    denied("listing the folder", fs::read_dir(dir));
    denied("writing a file", fs::write(dir.join("written"), "x"));
    denied("reading another process", fs::read("/proc/1/environ"));
    denied("TCP out", TcpStream::connect("127.0.0.1:9"));
    denied("TCP in", TcpListener::bind("127.0.0.1:0"));
    denied("UDP", UdpSocket::bind("127.0.0.1:0"));
    denied("a local socket", UnixStream::connect("/run/docker.sock"));
    denied("a local listener", UnixListener::bind(dir.join("written")));
    denied("a program", Command::new("/bin/true").status());
    let parent = nix::unistd::getppid();
    assert_eq!(nix::sys::signal::kill(parent, None), Err(nix::errno::Errno::EPERM));
}

#[test]
fn a_worker_that_computes_reaches_nothing_outside() {
    let case = "a_worker_that_computes_reaches_nothing_outside";
    let Some(dir) = folder(case) else { return in_a_process(case) };
    let root = nix::unistd::geteuid().is_root();
    let status = compute_only(Some(&User::new(User::NOBODY))).unwrap();
    assert_eq!(status.calls, Enforcement::Full);
    assert_eq!(status.uid, root.then_some(User::NOBODY));
    nothing_outside(&dir);
    // Memory, threads and output still work.
    let sum = std::thread::spawn(|| vec![1_u8; 32 << 20].iter().map(|n| u64::from(*n)).sum::<u64>()).join();
    assert_eq!(sum.unwrap(), 32 << 20);
}

#[test]
fn landlock_alone_keeps_the_token_unread() {
    let case = "landlock_alone_keeps_the_token_unread";
    let Some(dir) = folder(case) else { return in_a_process(case) };
    let token = dir.join("admin-token");
    assert_eq!(fs::read(&token).unwrap(), b"secret");
    if files(&Files::default()).unwrap() != Enforcement::None {
        denied("reading past Landlock", fs::read(&token));
    }
}

#[test]
fn the_unprivileged_user_alone_keeps_the_token_unread() {
    let case = "the_unprivileged_user_alone_keeps_the_token_unread";
    assert!(nix::unistd::geteuid().is_root(), "this test needs root: only root can become another user");
    let Some(dir) = folder(case) else { return in_a_process(case) };
    let token = dir.join("admin-token");
    assert_eq!(fs::read(&token).unwrap(), b"secret");
    // Only the owner may open the folder.
    fabric_confine::user(&User::new(User::NOBODY)).unwrap();
    denied("reading as another user", fs::read(&token));
}

#[test]
fn seccomp_alone_keeps_the_token_unread() {
    let case = "seccomp_alone_keeps_the_token_unread";
    let Some(dir) = folder(case) else { return in_a_process(case) };
    let token = dir.join("admin-token");
    assert_eq!(fs::read(&token).unwrap(), b"secret");
    assert_eq!(calls(Calls::Compute).unwrap(), Enforcement::Full);
    denied("reading past seccomp", fs::read(&token));
}

#[test]
fn a_driver_reads_what_it_is_given_and_starts_nothing() {
    let case = "a_driver_reads_what_it_is_given_and_starts_nothing";
    let Some(dir) = folder(case) else { return in_a_process(case) };
    let given = dir.join("driver");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("icd.json"), "{}").unwrap();
    let enforced = files(&Files { read: vec![given.clone(), dir.join("missing")], devices: vec!["/dev/null".into()] });
    assert_eq!(calls(Calls::Driver).unwrap(), Enforcement::Full);
    assert_eq!(fs::read(given.join("icd.json")).unwrap(), b"{}");
    if enforced.unwrap() != Enforcement::None {
        denied("reading the token", fs::read(dir.join("admin-token")));
        denied("writing beside the driver", fs::write(given.join("new"), "x"));
        fs::write("/dev/null", "x").unwrap();
    }
    denied("TCP out", TcpStream::connect("127.0.0.1:9"));
    denied("a local socket", UnixStream::connect("/run/docker.sock"));
    denied("a program", Command::new("/bin/true").status());
    std::thread::spawn(|| ()).join().unwrap();
}
