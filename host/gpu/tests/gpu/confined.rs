//! What the worker process has and has not, seen from outside, and that it never outlives its node.

use crate::start::*;
use rustix::io::{FdFlags, fcntl_setfd};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

#[tokio::test]
async fn it_inherits_neither_files_nor_variables() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    // As a careless library would leave it: open across exec.
    fcntl_setfd(secret.as_file(), FdFlags::empty()).unwrap();
    let gpu = gpu(options()).await;
    let worker = gpu.worker_id().unwrap();
    let open: Vec<_> = fs::read_dir(format!("/proc/{worker}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .collect();
    assert!(open.len() >= 3, "{open:?}");
    assert!(!open.iter().any(|path| path == secret.path()), "{open:?}");
    let environment = fs::read_to_string(format!("/proc/{worker}/environ")).unwrap();
    let allowed = ["VK_", "LD_LIBRARY_PATH=", "MESA_SHADER_CACHE_DISABLE=", "__GL_SHADER_DISK_CACHE="];
    let foreign: Vec<_> =
        environment.split_terminator('\0').filter(|line| !allowed.iter().any(|name| line.starts_with(name))).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[tokio::test]
async fn it_is_bound_by_the_kernel() {
    let gpu = gpu(options()).await;
    let worker = gpu.worker_id().unwrap();
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    // The soft limit of CPU time is set by each submit.
    assert!(works(&gpu.session(grant()).unwrap()).await);
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let soft = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(soft("Max core file size"), "0");
    assert_eq!(soft("Max file size"), "0");
    assert_eq!(soft("Max open files"), "512");
    assert!(soft("Max cpu time").parse::<u64>().unwrap() < 600);
    let space = soft("Max address space").parse::<u64>().unwrap();
    assert!(space > 512 << 20 && space < 64 << 30, "{space}");
}

const NODE: &str = "FABRIC_GPU_TEST_NODE";

/// Not a test of its own: the process that the test below kills.
#[tokio::test]
async fn a_node_that_hangs_in_a_submit() {
    if std::env::var_os(NODE).is_none() {
        return;
    }
    let gpu = gpu(options()).await;
    let hour = Duration::from_secs(3600);
    let session = gpu.session(fabric_gpu::Grant { submit_deadline: hour, device_time: hour, ..grant() }).unwrap();
    let endless = endless(&session).await;
    use std::io::Write as _;
    writeln!(std::io::stderr(), "worker {}", gpu.worker_id().unwrap()).unwrap();
    let _ = session.submit(vec![endless], vec![]).await;
}

#[test]
fn it_ends_with_its_node_even_while_a_shader_hangs() {
    let mut node = Command::new(std::env::current_exe().unwrap())
        .args(["confined::a_node_that_hangs_in_a_submit", "--exact", "--nocapture"])
        .env(NODE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(node.stderr.take().unwrap()).lines();
    let worker = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("worker ").map(str::to_owned)).unwrap();
    let process = format!("/proc/{worker}");
    assert!(Path::new(&process).exists());
    node.kill().unwrap();
    node.wait().unwrap();
    // Bounds the wait of a test that fails, no more: it would run for an hour.
    let patience = Instant::now() + Duration::from_secs(60);
    while !ended(&process) {
        assert!(Instant::now() < patience, "the worker outlives its node");
        std::thread::yield_now();
    }
}

/// Gone, or dead and not yet collected by whoever adopted it.
fn ended(process: &str) -> bool {
    match fs::read_to_string(format!("{process}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}
