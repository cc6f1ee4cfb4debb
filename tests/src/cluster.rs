//! `fabric cluster up` in a temporary folder.

use crate::{cli::Ran, process::Process, server};
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

/// Returns the path of the `nats-server` program that the tests use.
///
/// # Panics
/// Panics if `FABRIC_TEST_NATS` is not set. `cargo xtask test` sets it.
#[must_use]
pub fn nats_server() -> PathBuf {
    let program = std::env::var_os("FABRIC_TEST_NATS");
    program.expect("set FABRIC_TEST_NATS to nats-server 2.10 or newer, or run `cargo xtask test`").into()
}

/// A fleet on one machine and its folder. Dropping it stops the fleet if it still runs.
#[derive(Debug)]
pub struct Cluster {
    folder: tempfile::TempDir,
    supervisor: Child,
    stdout: BufReader<ChildStdout>,
}

impl Cluster {
    /// Starts the supervisor and returns before the fleet is up.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("up.log")).unwrap();
        let mut command = server::command(folder.path());
        command.args(["cluster", "up", "--json", "--listen", "127.0.0.1:0", "--slots", "1", "--nats-server"]);
        command.arg(nats_server()).args(args).stdout(Stdio::piped()).stderr(log);
        // A `std` child, since `drop` stops it with SIGTERM and waits for it, also after a panic.
        let mut supervisor = command.as_std_mut().spawn().unwrap();
        let stdout = BufReader::new(supervisor.stdout.take().unwrap());
        Self { folder, supervisor, stdout }
    }

    /// Waits until the supervisor reports that all processes are in the fleet. Returns the report.
    pub fn up(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", self.log()))
    }

    /// Returns the data folder, which the CLI finds through `FABRIC_DATA`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the supervisor's log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// Returns the supervisor's process.
    #[must_use]
    pub fn supervisor(&self) -> Process {
        Process(self.supervisor.id())
    }

    /// Waits until the supervisor exits. Returns its exit status, or `None` if a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        self.supervisor.wait().unwrap().code()
    }

    /// Runs the CLI to completion with the fleet's folder as its data folder.
    pub async fn cli(&self, args: &[&str]) -> Ran {
        Ran::new(args, server::command(self.folder.path()).args(args).output().await.unwrap())
    }

    /// Returns one process of the fleet, as `fabric cluster status` shows it.
    pub async fn process(&self, name: &str) -> serde_json::Value {
        let status = self.cli(&["cluster", "status", "--json"]).await.ok().json();
        let found = status.as_array().unwrap().iter().find(|p| p["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {status}")).clone()
    }

    /// Kills one process of the fleet with SIGKILL.
    pub async fn kill9(&self, name: &str) {
        let pid = self.process(name).await["pid"].as_u64().unwrap_or_else(|| panic!("{name} does not run"));
        Process(u32::try_from(pid).unwrap()).signal("KILL");
    }

    /// Returns the command lines of the running processes that name the data folder; the supervisor's does not.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        running(&self.data())
    }
}

fn running(data: &Path) -> Vec<String> {
    let wanted = format!("{}/", data.display());
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&wanted)).map(|line| line.replace('\0', " ")).collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(None) = self.supervisor.try_wait() {
            self.supervisor().signal("TERM");
            let _ = self.supervisor.wait();
        }
    }
}
