//! `fabric cluster up` over a folder of its own.

use crate::{cli::Ran, process::Process, server};
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

/// The nats-server of the tests.
///
/// # Panics
/// Without `FABRIC_TEST_NATS`, which `cargo xtask test` sets to one.
#[must_use]
pub fn nats_server() -> PathBuf {
    let program = std::env::var_os("FABRIC_TEST_NATS");
    program.expect("set FABRIC_TEST_NATS to nats-server 2.10 or newer, or run `cargo xtask test`").into()
}

/// A fleet of one machine and its folder. Where it still runs when it is dropped it is stopped.
#[derive(Debug)]
pub struct Cluster {
    folder: tempfile::TempDir,
    supervisor: Child,
    stdout: BufReader<ChildStdout>,
}

impl Cluster {
    /// Starts one; gives it before it is up.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("up.log")).unwrap();
        let mut command = server::command(folder.path());
        command.args(["cluster", "up", "--json", "--listen", "127.0.0.1:0", "--slots", "1", "--nats-server"]);
        command.arg(nats_server()).args(args).stdout(Stdio::piped()).stderr(log);
        // Not tokio's: it has to be stopped in order, and waited for, also where a test panics.
        let mut supervisor = command.as_std_mut().spawn().unwrap();
        let stdout = BufReader::new(supervisor.stdout.take().unwrap());
        Self { folder, supervisor, stdout }
    }

    /// Waits until it says that all are in the fleet; gives what it says.
    pub fn up(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", self.log()))
    }

    /// Its folder, which the CLI finds by `FABRIC_DATA`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the supervisor said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// The supervisor.
    #[must_use]
    pub fn supervisor(&self) -> Process {
        Process(self.supervisor.id())
    }

    /// Waits until the supervisor has ended; gives its exit status, none where a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        self.supervisor.wait().unwrap().code()
    }

    /// Runs the CLI with the fleet's folder as its data folder, to the end.
    pub async fn cli(&self, args: &[&str]) -> Ran {
        Ran::new(args, server::command(self.folder.path()).args(args).output().await.unwrap())
    }

    /// One process of it, as `fabric cluster status` shows it.
    pub async fn process(&self, name: &str) -> serde_json::Value {
        let status = self.cli(&["cluster", "status", "--json"]).await.ok().json();
        let found = status.as_array().unwrap().iter().find(|p| p["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {status}")).clone()
    }

    /// Kills one process of it with SIGKILL.
    pub async fn kill9(&self, name: &str) {
        let pid = self.process(name).await["pid"].as_u64().unwrap_or_else(|| panic!("{name} does not run"));
        Process(u32::try_from(pid).unwrap()).signal("KILL");
    }

    /// The command lines of processes that name its folder, other than the supervisor's.
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
