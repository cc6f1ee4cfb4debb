//! Confinement of the worker process, observed from outside, and its end with the node.

use crate::start::*;
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

#[tokio::test]
async fn it_inherits_neither_files_nor_variables() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    // Without close-on-exec, as a careless library might leave it.
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
    assert!(status.contains("Seccomp:\t2"), "{status}");
    // Only root becomes another user.
    let own = rustix::process::geteuid();
    let uid = if own.is_root() { 65534 } else { own.as_raw() };
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
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

/// Environment variable of the process below: the deadline of its submit, in seconds.
const NODE: &str = "FABRIC_GPU_TEST_NODE";

/// Not a test: the process that the tests below start.
#[tokio::test]
async fn a_node_that_hangs_in_a_submit() {
    let Some(seconds) = std::env::var(NODE).ok().and_then(|n| n.parse().ok()) else { return };
    let gpu = gpu(options()).await;
    let submit_deadline = Duration::from_secs(seconds);
    let device_time = Duration::from_secs(7200);
    let session = gpu.session(fabric_gpu::Grant { submit_deadline, device_time, ..grant() }).unwrap();
    let endless = endless(&session).await;
    use std::io::Write as _;
    writeln!(std::io::stderr(), "worker {}", gpu.worker_id().unwrap()).unwrap();
    let _ = session.submit(vec![endless], vec![]).await;
}

/// Starts the process above. Returns it and its worker's process id.
fn node(deadline_seconds: &str) -> (Child, String) {
    let mut node = Command::new(std::env::current_exe().unwrap())
        .args(["confined::a_node_that_hangs_in_a_submit", "--exact", "--nocapture"])
        .env(NODE, deadline_seconds)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(node.stderr.take().unwrap()).lines();
    let worker = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("worker ").map(str::to_owned));
    (node, worker.unwrap())
}

/// Waits for a process to end. If it is still a zombie, returns the signal that ended it.
fn ends(worker: &str) -> Option<i32> {
    // Only bounds the wait of a failing test.
    let patience = Instant::now() + Duration::from_secs(300);
    while let Ok(stat) = fs::read_to_string(format!("/proc/{worker}/stat")) {
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        if fields[0] == "Z" {
            // The last field is the exit code; its low bits are the signal.
            return fields.last().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0x7f);
        }
        assert!(Instant::now() < patience, "the worker goes on without its node");
        std::thread::yield_now();
    }
    None
}

#[test]
fn it_ends_with_its_node_even_while_a_shader_hangs() {
    let (mut node, worker) = node("3600");
    node.kill().unwrap();
    node.wait().unwrap();
    ends(&worker);
}

/// The node's deadline is the first line of defence. If the node itself hangs, the CPU time limit of the kernel is the
/// second.
#[test]
fn it_ends_by_its_cpu_limit_when_its_node_is_frozen() {
    let (mut node, worker) = node("5");
    // Wait until the submit runs: nothing else uses CPU time now.
    let ticks = || crate::loss::ticks(worker.parse().unwrap());
    let before = ticks();
    while ticks() < before + 10 {
        std::thread::yield_now();
    }
    let id = Pid::from_raw(node.id() as i32).unwrap();
    kill_process(id, Signal::STOP).unwrap();
    assert_eq!(ends(&worker), Some(Signal::XCPU.as_raw()));
    kill_process(id, Signal::CONT).unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
}
