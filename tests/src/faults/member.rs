//! One process of the fleet: `fabric serve` behind lines of its own, killed, frozen, started again as a supervisor would.

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

/// How long a process may take to be ready, or to end. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often its folder is looked at: a file announces nothing.
const LOOK: Duration = Duration::from_millis(20);
/// How long an ordinary answer may take; a client of the real world gives up too.
const ANSWER: Duration = Duration::from_secs(15);
/// The size of a small disk: room for the index and for what was compiled, and soon full.
const SMALL_DISK: &str = "size=48m,mode=700";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything: it may own the jobs.
    All,
    /// It runs guests, and answers only what other processes pass on to it.
    Node,
    /// It passes requests on.
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

/// How a process is started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Whether its data folder is a small file system of its own, empty at every start.
    pub(crate) small_disk: bool,
    /// More arguments of `fabric serve`.
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

/// Where a process takes requests: another client after each start, none while it does not run.
pub type Door = watch::Receiver<Option<Client>>;

impl Member {
    /// A process that is not started yet.
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.plan.name
    }

    /// What it does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.plan.role
    }

    /// Whether its data folder is a small file system.
    pub(crate) fn has_small_disk(&self) -> bool {
        self.plan.small_disk
    }

    /// Where it takes requests; none where it listens to nobody.
    #[must_use]
    pub fn door(&self) -> Option<Door> {
        (self.plan.role != Role::Node).then(|| self.door.subscribe())
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.child.as_ref()?.id().map(Process)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("run-{}.log", self.run))
    }

    /// What it said since its latest start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The epoch of its lease on the jobs, where it took it in this life and has not ended.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.process()?;
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains("owner of the jobs") && line.contains("epoch="))?;
        line.split("epoch=").nth(1)?.split_whitespace().next()?.parse().ok()
    }

    /// The data folder as the process sees it.
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

    /// Starts it and waits until it is ready, again where it ends before, as a supervisor would.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let ready = async {
            while !self.launch().await? {}
            anyhow::Ok(())
        };
        let done = tokio::time::timeout(PATIENCE, ready).await;
        done.with_context(|| format!("{} was not ready in time\n{}", self.plan.name, self.log()))?
    }

    /// Starts it once; `false` when it ended before it was ready.
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
        // One attempt: what is asked again, and where, is the test's business.
        let options = Options::new(url).token(token.trim()).attempts(1).request_timeout(ANSWER);
        self.door.send_replace(Some(Client::new(options)?));
        Ok(true)
    }

    /// Looks for a moment whether it has ended by itself.
    pub(crate) async fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().context("it was not started")?;
        let ended = tokio::time::timeout(LOOK, child.wait()).await;
        ended.ok().transpose().map_err(Into::into)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("it was not started")?;
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        Ok(ended.with_context(|| format!("{} still runs\n{}", self.plan.name, self.log()))??)
    }

    /// Kills it with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.door.send_replace(None);
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Freezes it, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let process = self.process().context("it does not run")?;
        process.signal(if frozen { "STOP" } else { "CONT" });
        Ok(())
    }

    /// Sets the weather to all NATS servers.
    pub(crate) fn nats(&self, weather: Weather) -> Result<()> {
        self.nats.iter().try_for_each(|line| line.set(weather))
    }

    /// Sets the weather to the object store.
    pub(crate) fn s3(&self, weather: Weather) -> Result<()> {
        self.s3.set(weather)
    }

    /// Sets its wall clock so many seconds off.
    pub(crate) fn clock(&self, ahead_s: i64) -> Result<()> {
        self.clock.set(ahead_s)
    }

    /// Fills its small disk to the last byte, or makes room again.
    pub(crate) fn fill_disk(&self, full: bool) -> Result<()> {
        let filler = self.data().join("filler");
        if !full {
            return Ok(std::fs::remove_file(filler)?);
        }
        let mut file = std::fs::File::create(filler)?;
        // Ever smaller pieces, so that nothing is left.
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
