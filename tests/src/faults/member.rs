//! One Fabric process of the fleet: `fabric serve` with its own links to the services. The test kills, freezes and
//! restarts it as a supervisor would.

use super::{
    clock::Clock,
    network::{Line, Network, Seat},
    proxy::Weather,
    service::{Nats, S3},
};
use crate::{Process, server};
use anyhow::{Context as _, Result, bail};
use fabric_client::{Client, Options};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
};

/// Timeout for a process to become ready or to exit. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(90);
/// Polling interval for files of the process.
const LOOK: Duration = Duration::from_millis(20);
/// Timeout of a response. Real clients have a timeout too.
const ANSWER: Duration = Duration::from_secs(15);
/// Mount options of the small disk. It holds the index and the artefacts, and fills up quickly.
const SMALL_DISK: &str = "size=48m,mode=700";

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All roles; may own the jobs.
    All,
    /// Runs guests; takes requests only from other processes.
    Node,
    /// Forwards requests.
    Gateway,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Node => "node",
            Self::Gateway => "gateway",
        }
    }
}

/// Parameters of a process.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// `true` if the data folder is a small file system, empty at every start.
    pub(crate) small_disk: bool,
    /// Extra arguments of `fabric serve`.
    pub(crate) args: Vec<String>,
}

/// A process and its folder.
#[derive(Debug)]
pub struct Member {
    plan: Plan,
    seat: Seat,
    nats: Vec<Line>,
    s3: Line,
    folder: PathBuf,
    clock: Clock,
    run: u32,
    child: Option<Child>,
    door: watch::Sender<Option<Client>>,
}

/// The current client for a process: a new one after each start, `None` while the process does not run.
pub type Door = watch::Receiver<Option<Client>>;

impl Member {
    /// Creates a process without starting it.
    pub(crate) async fn new(
        plan: Plan,
        network: &Network,
        services: (&[Nats], &S3),
        folder: &Path,
        clock: &Path,
        seed: u64,
    ) -> Result<Self> {
        let seat = network.seat()?;
        let folder = folder.join(plan.name);
        std::fs::create_dir_all(folder.join("data"))?;
        let mut nats = Vec::new();
        for (server, n) in services.0.iter().zip(1..) {
            nats.push(network.line(&seat, server.address(), seed.wrapping_add(n)).await?);
        }
        let s3 = network.line(&seat, services.1.address(), seed).await?;
        let clock = Clock::new(clock, &folder)?;
        Ok(Self { plan, seat, nats, s3, folder, clock, run: 0, child: None, door: watch::Sender::default() })
    }

    /// Returns the name of the process.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.plan.name
    }

    /// Returns the role of the process.
    #[must_use]
    pub fn role(&self) -> Role {
        self.plan.role
    }

    /// Returns `true` if the data folder is a small file system.
    pub(crate) fn has_small_disk(&self) -> bool {
        self.plan.small_disk
    }

    /// Returns the client channel of the process, or `None` for a node, which accepts no client requests.
    #[must_use]
    pub fn door(&self) -> Option<Door> {
        (self.plan.role != Role::Node).then(|| self.door.subscribe())
    }

    /// Returns the operating system's process, or `None` if it does not run.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.child.as_ref()?.id().map(Process)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("run-{}.log", self.run))
    }

    /// Returns the log since the latest start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Returns the epoch of its lease on the jobs, or `None` if it has not owned the jobs since its latest start or
    /// does not run.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.process()?;
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains("owner of the jobs") && line.contains("epoch="))?;
        line.split("epoch=").nth(1)?.split_whitespace().next()?.parse().ok()
    }

    /// Returns the data folder, through `/proc` if it is a mount in the process's own namespace.
    pub(crate) fn data(&self) -> PathBuf {
        let data = self.folder.join("data");
        match self.process() {
            Some(Process(id)) if self.plan.small_disk => {
                Path::new(&format!("/proc/{id}/root")).join(data.strip_prefix("/").unwrap_or(&data))
            }
            _ => data,
        }
    }

    fn command(&self) -> Command {
        let (data, program) = (self.folder.join("data"), server::program());
        let mut command = if self.plan.small_disk {
            let mut command = self.seat.command("unshare");
            if !Process::is_root() {
                command.arg("--map-root-user");
            }
            let mount = r#"mount -t tmpfs -o "$1" fabric-test "$2" && shift 2 && exec "$@""#;
            command.args(["--mount", "sh", "-c", mount, "sh", SMALL_DISK]).arg(&data).arg(program);
            command
        } else {
            self.seat.command(program)
        };
        server::without_settings(&mut command);
        let nats: Vec<_> = self.nats.iter().map(|line| format!("nats://{}", line.address())).collect();
        command
            .current_dir(&self.folder)
            .envs(self.clock.environment())
            .args(["serve", "--role", self.plan.role.word(), "--name", self.plan.name, "--slots", "1"])
            .args(["--nats", &nats.join(","), "--store", &S3::store(self.s3.address()), "--data"])
            .arg(&data)
            .args(&self.plan.args)
            .stdin(Stdio::null());
        let address = self.seat.address();
        command.args(["--listen", &format!("{address}:0")]);
        if !address.is_loopback() {
            command.arg("--insecure-listen");
        }
        command
    }

    /// Starts the process and waits until it is ready. Restarts it if it exits before that, as a supervisor would.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let ready = async {
            while !self.launch().await? {}
            anyhow::Ok(())
        };
        let done = tokio::time::timeout(PATIENCE, ready).await;
        done.with_context(|| format!("{} was not ready in time\n{}", self.plan.name, self.log()))?
    }

    /// Starts the process once. Returns `false` if it exits before it is ready.
    async fn launch(&mut self) -> Result<bool> {
        self.kill().await?;
        self.run += 1;
        let _ = std::fs::remove_file(self.folder.join("data/server.json"));
        let log = std::fs::File::create(self.log_path())?;
        let mut command = self.command();
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        loop {
            if self.is_ready()? {
                return Ok(true);
            }
            if self.has_ended().await?.is_some() {
                return Ok(false);
            }
        }
    }

    fn is_ready(&mut self) -> Result<bool> {
        if self.plan.role == Role::Node {
            return Ok(self.log().contains(": in the fleet"));
        }
        let data = self.data();
        let Ok(text) = std::fs::read(data.join("server.json")) else { return Ok(false) };
        let about: serde_json::Value = serde_json::from_slice(&text)?;
        let Some(url) = about.get("url").and_then(serde_json::Value::as_str) else { bail!("no url in server.json") };
        let token = std::fs::read_to_string(data.join("admin-token"))?;
        // One attempt, since the test itself retries, at any process.
        let options = Options::new(url).token(token.trim()).attempts(1).request_timeout(ANSWER);
        self.door.send_replace(Some(Client::new(options)?));
        Ok(true)
    }

    /// Returns the exit status if the process exits within [`LOOK`].
    pub(crate) async fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().context("it was not started")?;
        let ended = tokio::time::timeout(LOOK, child.wait()).await;
        ended.ok().transpose().map_err(Into::into)
    }

    /// Waits until the process exits.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("it was not started")?;
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        Ok(ended.with_context(|| format!("{} still runs\n{}", self.plan.name, self.log()))??)
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.door.send_replace(None);
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Stops the process with SIGSTOP, or resumes it with SIGCONT.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let process = self.process().context("it does not run")?;
        process.signal(if frozen { "STOP" } else { "CONT" });
        Ok(())
    }

    /// Sets the network condition of the links to all NATS servers.
    pub(crate) fn nats(&self, weather: Weather) -> Result<()> {
        self.nats.iter().try_for_each(|line| line.set(weather))
    }

    /// Sets the network condition of the link to the object store.
    pub(crate) fn s3(&self, weather: Weather) -> Result<()> {
        self.s3.set(weather)
    }

    /// Sets the offset of its wall clock, in seconds.
    pub(crate) fn clock(&self, ahead_s: i64) -> Result<()> {
        self.clock.set(ahead_s)
    }

    /// Fills its small disk to the last byte, or frees the space again.
    pub(crate) fn fill_disk(&self, full: bool) -> Result<()> {
        let filler = self.data().join("filler");
        if !full {
            return Ok(std::fs::remove_file(filler)?);
        }
        let mut file = std::fs::File::create(filler)?;
        // Decreasing sizes, down to single bytes, use up all space.
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0_u8; size];
            loop {
                match std::io::Write::write_all(&mut file, &piece) {
                    Ok(()) => {}
                    Err(e) if e.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(e) => return Err(e).context("filling the disk"),
                }
            }
        }
        Ok(())
    }
}
