//! One process that is kept running: started, watched, started again with growing pauses, and stopped.

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

/// The first pause before a process is started again; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A process that ran so long was well: the next pause is the first one again.
const WELL: Duration = Duration::from_secs(60);
/// How long a process may take to stop before it is killed. Longer than the server itself takes to end its requests.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether a process answers; nothing announces it.
const LOOK: Duration = Duration::from_millis(50);

/// How one process is started, and how it is seen that it answers.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables that it gets besides this process's own; without a value, one that it does not get.
    pub env: Vec<(&'static str, Option<OsString>)>,
    /// The log file. The process itself begins it anew when it is full.
    pub log: PathBuf,
    /// Bytes that were there before this fleet was started.
    pub log_begins_at: u64,
    /// How it shows that it answers.
    pub sign: Sign,
}

/// How a process shows that it answers.
#[derive(Debug, Clone)]
pub enum Sign {
    /// It writes its address to this file.
    Address(PathBuf),
    /// It greets whoever connects to this port of this machine, as a NATS server does.
    Greeting(u16),
}

/// What happened to a process.
#[derive(Debug)]
pub enum Event {
    /// It was started, with this process id.
    Started(u32),
    /// It answers; at this address, where it has one of its own.
    Answers(Option<String>),
    /// It ended without being asked to, and is started again after a pause.
    Ended { pid: Option<u32>, how: Ended, pause: Duration },
}

/// How a process ended.
#[derive(Debug)]
pub enum Ended {
    /// It ended by itself with this status, so it will have said why.
    Status(i32),
    /// A signal ended it.
    Signal(i32),
    /// It could not be started or waited for.
    Never(std::io::Error),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Status(status.code().unwrap_or(-1)), Self::Signal)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(code) => write!(f, "ended with status {code}"),
            Self::Signal(9) => f.write_str("was killed"),
            Self::Signal(number) => write!(f, "was ended by signal {number}"),
            Self::Never(error) => write!(f, "could not be run: {error}"),
        }
    }
}

/// Stops processes: the first asks, the second insists.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Ends what is kept running, and lets it finish.
    pub ask: CancellationToken,
    /// Kills what has not finished.
    pub insist: CancellationToken,
}

impl Spec {
    /// Keeps the process running until it is stopped; says what happens under `index`.
    pub async fn keep(self, index: usize, events: mpsc::Sender<(usize, Event)>, stop: Stop) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let (pid, how) = match self.spawn() {
                Ok(mut child) => {
                    let pid = child.id();
                    if let Some(pid) = pid {
                        let _ = events.send((index, Event::Started(pid))).await;
                    }
                    let answers = async {
                        let url = self.sign.wait().await;
                        let _ = events.send((index, Event::Answers(url))).await;
                        std::future::pending::<Infallible>().await
                    };
                    tokio::select! {
                        status = child.wait() => (pid, status.map_or_else(Ended::Never, Ended::from)),
                        never = answers => match never {},
                        () = stop.ask.cancelled() => return end(child, &stop).await,
                    }
                }
                Err(error) => (None, Ended::Never(error)),
            };
            if started.elapsed() >= WELL {
                pause = FIRST_PAUSE;
            }
            let _ = events.send((index, Event::Ended { pid, how, pause })).await;
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = stop.ask.cancelled() => return,
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        if let Sign::Address(file) = &self.sign {
            // Left behind by one that was killed.
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
        // A group of its own: Ctrl-C goes to the supervisor, which stops them in order.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    /// The last error that the process wrote to its log, with its hint; else the log's last line.
    pub fn last_words(&self) -> String {
        last_words(&tail(&self.log, self.log_begins_at).unwrap_or_default())
    }

    /// Notes what the log holds of earlier fleets, so that [`Self::last_words`] are this one's.
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

/// Whether a NATS server is at a port: it speaks first.
async fn greets(port: u16) -> std::io::Result<bool> {
    use tokio::io::AsyncReadExt as _;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let mut first = [0; 5];
    let read = timeout(Duration::from_secs(2), stream.read_exact(&mut first)).await;
    Ok(read.is_ok_and(|read| read.is_ok()) && first == *b"INFO ")
}

/// Lets a process end; kills it when it takes too long or when somebody insists.
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

/// The end of a log, from the byte `begins_at` on.
fn tail(log: &Path, begins_at: u64) -> std::io::Result<String> {
    const LONGEST: u64 = 16 << 10;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    // A shorter file was begun since.
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
