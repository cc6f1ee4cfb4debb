//! Data about the machine and its processes. Linux only.

use std::process::Command;

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or("", |(_, value)| value.trim()).to_owned()
}

fn first_line(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("?").to_owned()
}

/// Describes the machine and the versions in one line.
pub fn line() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let memory: u64 =
        field(&read("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {} GiB, Linux {}, {}, wasmtime 48, load {} at the start",
        field(&read("/proc/cpuinfo"), "model name"),
        memory >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        first_line("rustc", "-V"),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    )
}

/// Returns the CPU microseconds of a process, user and system, without ended children.
pub fn cpu_us(pid: u32) -> f64 {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
}

fn ticks(stat: &str) -> f64 {
    // The name may contain spaces, so fields are counted after its closing bracket. A tick is 10 ms on Linux.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = after.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) * 10_000.0
}

/// Returns the CPU microseconds of a process by thread name, highest first.
pub fn cpu_by_thread(pid: u32) -> Vec<(String, f64)> {
    let mut by_name = std::collections::BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        *by_name.entry(read("comm").trim().to_owned()).or_insert(0.0) += ticks(&read("stat"));
    }
    let mut all: Vec<_> = by_name.into_iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// Returns the CPU microseconds of the calling thread.
pub fn thread_cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}

/// Returns the resident memory of a process in MiB.
pub fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "VmRSS").split(' ').next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
