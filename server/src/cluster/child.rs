//! A supervised process: started, watched, restarted with backoff, and stopped.

use super::folder;
use rustix::process::Signal;
use std::{
    convert::Infallible,
    ffi::OsString,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Delay before the first restart. Each further restart doubles it.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// Upper bound of the restart delay.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Run time after which the restart delay returns to [`INITIAL_BACKOFF`].
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(60);
/// Time for a process to stop before it is killed. Longer than the default drain timeout and request grace together.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Interval between readiness probes. A process does not announce that it is ready.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// The command, environment, log and readiness probe of a process.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Changes to the inherited environment: a variable to set, or to remove if the value is `None`.
    pub env: Vec<(&'static str, Option<OsString>)>,
    /// The log file. The process rotates it when it is full.
    pub log: PathBuf,
    /// Length of the log in bytes when the fleet started.
    pub log_begins_at: u64,
    /// The readiness probe.
    pub readiness: ReadinessProbe,
}

/// A readiness probe.
#[derive(Debug, Clone)]
pub enum ReadinessProbe {
    /// The process writes its address to this file.
    Address(PathBuf),
    /// A NATS server that sends its greeting on this port of the loopback address.
    NatsGreeting(u16),
}

/// An event of a supervised process.
#[derive(Debug)]
pub enum ChildEvent {
    /// The process was started, with this process id.
    Started(u32),
    /// The process is ready, at this address if it has one.
    Ready(Option<String>),
    /// The process ended without a request to stop. It is restarted after `pause`.
    Exited { pid: Option<u32>, how: ChildExit, pause: Duration },
}

/// The way in which a process ended.
#[derive(Debug)]
pub enum ChildExit {
    /// Exited with this status; the process normally logs the cause.
    Status(i32),
    /// Terminated by this signal.
    Signal(i32),
    /// Could not be started or waited for.
    SpawnFailed(std::io::Error),
}

impl From<ExitStatus> for ChildExit {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Status(status.code().unwrap_or(-1)), Self::Signal)
    }
}

impl std::fmt::Display for ChildExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(code) => write!(f, "ended with status {code}"),
            Self::Signal(9) => f.write_str("was killed"),
            Self::Signal(number) => write!(f, "was ended by signal {number}"),
            Self::SpawnFailed(error) => write!(f, "could not be run: {error}"),
        }
    }
}

/// Tokens that stop processes, first gracefully, then by force.
#[derive(Debug, Clone, Default)]
pub struct StopTokens {
    /// Ends supervision and lets the processes finish.
    pub graceful: CancellationToken,
    /// Kills the processes that have not finished.
    pub force: CancellationToken,
}

impl ProcessSpec {
    /// Runs the process, and restarts it whenever it ends, until `stop` is cancelled. Sends its events with `index`.
    pub async fn supervise(self, index: usize, events: mpsc::Sender<(usize, ChildEvent)>, stop: StopTokens) {
        let mut pause = INITIAL_BACKOFF;
        loop {
            let started = Instant::now();
            let (pid, how) = match self.spawn() {
                Ok(mut child) => {
                    let pid = child.id();
                    if let Some(pid) = pid {
                        let _ = events.send((index, ChildEvent::Started(pid))).await;
                    }
                    let readiness = async {
                        let url = self.readiness.wait().await;
                        let _ = events.send((index, ChildEvent::Ready(url))).await;
                        std::future::pending::<Infallible>().await
                    };
                    tokio::select! {
                        status = child.wait() => (pid, status.map_or_else(ChildExit::SpawnFailed, ChildExit::from)),
                        never = readiness => match never {},
                        () = stop.graceful.cancelled() => return end(child, &stop).await,
                    }
                }
                Err(error) => (None, ChildExit::SpawnFailed(error)),
            };
            if started.elapsed() >= BACKOFF_RESET_AFTER {
                pause = INITIAL_BACKOFF;
            }
            let _ = events.send((index, ChildEvent::Exited { pid, how, pause })).await;
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(MAX_BACKOFF),
                () = stop.graceful.cancelled() => return,
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        if let ReadinessProbe::Address(file) = &self.readiness {
            // A killed process does not remove its file.
            let _ = std::fs::remove_file(file);
        }
        let log = File::options().create(true).append(true).mode(0o600).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // A separate process group: Ctrl-C reaches only the supervisor, which stops the processes in order.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    /// Returns the last error in the process's log with its hint, or the log's last line if it has no error.
    pub fn last_error(&self) -> String {
        last_error(&tail(&self.log, self.log_begins_at).unwrap_or_default())
    }

    /// Records the length of the log, so that [`Self::last_error`] ignores the output of earlier fleets.
    pub fn mark_log_start(&mut self) {
        self.log_begins_at = std::fs::metadata(&self.log).map_or(0, |m| m.len());
    }
}

impl ReadinessProbe {
    async fn wait(&self) -> Option<String> {
        loop {
            match self {
                Self::Address(file) => {
                    if let Some(server) = file.parent().and_then(fabric_client::settings::LocalServer::find) {
                        return Some(server.url);
                    }
                }
                Self::NatsGreeting(port) => {
                    if greets(*port).await.unwrap_or(false) {
                        return None;
                    }
                }
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

/// Returns `true` if a NATS server listens on the port. A NATS server sends the first message, `INFO`.
async fn greets(port: u16) -> std::io::Result<bool> {
    use tokio::io::AsyncReadExt as _;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let mut first = [0; 5];
    let read = timeout(Duration::from_secs(2), stream.read_exact(&mut first)).await;
    Ok(read.is_ok_and(|read| read.is_ok()) && first == *b"INFO ")
}

/// Stops a process. Kills it after [`STOP_LIMIT`] or when `stop.force` is cancelled.
async fn end(mut child: Child, stop: &StopTokens) {
    if let Some(pid) = child.id() {
        folder::signal(pid, Signal::TERM);
    }
    tokio::select! {
        _ = child.wait() => return,
        () = sleep(STOP_LIMIT) => {}
        () = stop.force.cancelled() => {}
    }
    let _ = child.kill().await;
}

/// Reads the end of a log, from the byte `begins_at` on, at most 16 KiB.
fn tail(log: &Path, begins_at: u64) -> std::io::Result<String> {
    const LONGEST: u64 = 16 << 10;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    // A shorter file was rotated since.
    let begins_at = if begins_at > length { 0 } else { begins_at };
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST).max(begins_at)))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_error(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| line.starts_with("error["));
    let from = error.unwrap_or(lines.len().saturating_sub(1));
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_comes_with_its_hint() {
        let log = "INFO ready\nerror[io]: old\nerror[config]: bad store\nhint: name another\n\n";
        assert_eq!(last_error(log), "error[config]: bad store\nhint: name another");
        assert_eq!(last_error("[1] [FTL] address in use\n"), "[1] [FTL] address in use");
        assert_eq!(last_error(""), "");
    }

    #[test]
    fn errors_of_an_earlier_fleet_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("n1.log");
        std::fs::write(&log, "error[config]: of yesterday\n").unwrap();
        let begins_at = std::fs::metadata(&log).unwrap().len();
        assert_eq!(last_error(&tail(&log, begins_at).unwrap()), "");
        std::fs::write(&log, "error[config]: of yesterday\nINFO ready\n").unwrap();
        assert_eq!(last_error(&tail(&log, begins_at).unwrap()), "INFO ready");
        std::fs::write(&log, "INFO begun anew\n").unwrap();
        assert_eq!(last_error(&tail(&log, begins_at).unwrap()), "INFO begun anew");
    }
}
