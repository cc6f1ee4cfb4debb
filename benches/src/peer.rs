//! Child processes under measurement.

use anyhow::Context as _;
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Timeout for a process to respond.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process. Dropping it kills the process.
pub struct Peer(Child);

impl Peer {
    /// Starts a process without input and output.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        Self::start_into(command, Stdio::null())
    }

    /// Starts a process with its standard error in a file.
    pub fn start_logged(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_into(command, std::fs::File::create(log)?.into())
    }

    fn start_into(command: &mut Command, log: Stdio) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Ok(Self(child.with_context(|| format!("starting {}", command.get_program().display()))?))
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Terminates the process and waits for its end. Kills it after a timeout.
    pub fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a GET of `url` returns a success status.
pub async fn until_ok(http: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        if let Ok(answer) = http.get(url).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "{url} does not answer");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until a server accepts connections at `address`.
pub async fn until_open(address: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        anyhow::ensure!(began.elapsed() < PATIENCE, "nothing listens on {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Returns a port that was free just now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Returns distinct free ports. For each, the port 10,000 above is free too, because SeaweedFS uses it.
pub fn free_port_pairs<const N: usize>() -> anyhow::Result<[u16; N]> {
    let (mut held, mut ports) = (Vec::with_capacity(2 * N), [0; N]);
    let mut candidates = 12_000 + u16::try_from(std::process::id() % 9_000)?..22_000;
    for port in &mut ports {
        *port = candidates
            .find(|port| {
                let both = (TcpListener::bind(("127.0.0.1", *port)), TcpListener::bind(("127.0.0.1", port + 10_000)));
                if let (Ok(low), Ok(high)) = both {
                    held.extend([low, high]);
                    return true;
                }
                false
            })
            .context("no free ports between 12000 and 22000")?;
    }
    Ok(ports)
}
