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
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Upper bound of the restart delay.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Run time after which the restart delay returns to [`FIRST_PAUSE`].
const WELL: Duration = Duration::from_secs(60);
/// Time for a process to stop before it is killed. Longer than the default drain timeout and request grace together.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Interval between readiness probes. A process does not announce that it is ready.
const LOOK: Duration = Duration::from_millis(50);

/// The command, environment, log and readiness probe of a process.
#[derive(Debug, Clone)]
pub struct Spec {
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
    pub sign: Sign,
}

/// A readiness probe.
#[derive(Debug, Clone)]
pub enum Sign {
    /// The process writes its address to this file.
    Address(PathBuf),
    /// A NATS server that sends its greeting on this port of the loopback address.
    Greeting(u16),
}

/// An event of a supervised process.
#[derive(Debug)]
pub enum ChildEvent {
    /// The process was started, with this process id.
    Started(u32),
    /// The process is ready, at this address if it has one.
    Answers(Option<String>),
    /// The process ended without a request to stop. It is restarted after `pause`.
    ChildExit { pid: Option<u32>, how: ChildExit, pause: Duration },
}

/// The way in which a process ended.
#[derive(Debug)]
pub enum ChildExit {
    /// Exited with this status; the process normally logs the cause.
    Status(i32),
    /// Terminated by this signal.
    Signal(i32),
    /// Could not be started or waited for.
    Never(std::io::Error),
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
            Self::Never(error) => write!(f, "could not be run: {error}"),
        }
    }
}

/// Tokens that stop processes, first gracefully, then by force.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Ends supervision and lets the processes finish.
    pub ask: CancellationToken,
    /// Kills the processes that have not finished.
    pub insist: CancellationToken,
}

impl Spec {
    /// Runs the process, and restarts it whenever it ends, until `stop` is cancelled. Sends its events with `index`.
    pub async fn keep(self, index: usize, events: mpsc::Sender<(usize, ChildEvent)>, stop: Stop) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let (pid, how) = match self.spawn() {
                Ok(mut child) => {
                    let pid = child.id();
                    if let Some(pid) = pid {
                        let _ = events.send((index, ChildEvent::Started(pid))).await;
                    }
                    let answers = async {
                        let url = self.sign.wait().await;
                        let _ = events.send((index, ChildEvent::Answers(url))).await;
                        std::future::pending::<Infallible>().await
                    };
                    tokio::select! {
                        status = child.wait() => (pid, status.map_or_else(ChildExit::Never, ChildExit::from)),
                        never = answers => match never {},
                        () = stop.ask.cancelled() => return end(child, &stop).await,
                    }
                }
                Err(error) => (None, ChildExit::Never(error)),
            };
            if started.elapsed() >= WELL {
                pause = FIRST_PAUSE;
            }
            let _ = events.send((index, ChildEvent::ChildExit { pid, how, pause })).await;
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = stop.ask.cancelled() => return,
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        if let Sign::Address(file) = &self.sign {
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
    pub fn last_words(&self) -> String {
        last_words(&tail(&self.log, self.log_begins_at).unwrap_or_default())
    }

    /// Records the length of the log, so that [`Self::last_words`] ignores the output of earlier fleets.
    pub fn begin_log(&mut self) {
        self.log_begins_at = std::fs::metadata(&self.log).map_or(0, |m| m.len());
    }
}

impl Sign {
    async fn wait(&self) -> Option<String> {
        loop {
            match self {
                Self::Address(file) => {
                    if let Some(server) = file.parent().and_then(fabric_client::settings::LocalServer::find) {
                        return Some(server.url);
                    }
                }
                Self::Greeting(port) => {
                    if greets(*port).await.unwrap_or(false) {
                        return None;
                    }
                }
            }
            sleep(LOOK).await;
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

/// Stops a process. Kills it after [`STOP_LIMIT`] or when `stop.insist` is cancelled.
async fn end(mut child: Child, stop: &Stop) {
    if let Some(pid) = child.id() {
        folder::signal(pid, Signal::TERM);
    }
    tokio::select! {
        _ = child.wait() => return,
        () = sleep(STOP_LIMIT) => {}
        () = stop.insist.cancelled() => {}
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

fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| line.starts_with("error["));
    let from = error.unwrap_or(lines.len().saturating_sub(1));
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_words_are_the_error_and_its_hint() {
        let log = "INFO ready\nerror[io]: old\nerror[config]: bad store\nhint: name another\n\n";
        assert_eq!(last_words(log), "error[config]: bad store\nhint: name another");
        assert_eq!(last_words("[1] [FTL] address in use\n"), "[1] [FTL] address in use");
        assert_eq!(last_words(""), "");
    }

    #[test]
    fn words_of_an_earlier_fleet_stay_and_are_not_the_last_ones() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("n1.log");
        std::fs::write(&log, "error[config]: of yesterday\n").unwrap();
        let begins_at = std::fs::metadata(&log).unwrap().len();
        assert_eq!(last_words(&tail(&log, begins_at).unwrap()), "");
        std::fs::write(&log, "error[config]: of yesterday\nINFO ready\n").unwrap();
        assert_eq!(last_words(&tail(&log, begins_at).unwrap()), "INFO ready");
        std::fs::write(&log, "INFO begun anew\n").unwrap();
        assert_eq!(last_words(&tail(&log, begins_at).unwrap()), "INFO begun anew");
    }
}
