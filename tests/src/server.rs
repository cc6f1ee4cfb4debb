//! A `fabric serve` process over a temporary folder.

use crate::{
    cli::Ran,
    guests,
    process::Process,
    raw::{self, Answer},
};
use fabric_api::{function::DeploymentResponse, token::NewToken};
use fabric_client::{Client, DeployRequest, UploadOptions};
use fabric_types::rest::token::Role;
use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// Timeout for a server to become ready and for a condition to hold. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Polling interval for conditions that send no notification.
const LOOK: Duration = Duration::from_millis(10);

/// Options of a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Extra arguments of `fabric serve`.
    pub args: Vec<String>,
}

impl Options {
    /// Returns options that limit the server to `n` slots.
    #[must_use]
    pub fn slots(n: u32) -> Self {
        Self { args: vec!["--slots".to_owned(), n.to_string()] }
    }
}

/// A running server and its folder. Dropping it kills the server and removes the folder.
#[derive(Debug)]
pub struct Server {
    options: Options,
    folder: tempfile::TempDir,
    child: Child,
    url: String,
    token: String,
    client: Client,
}

/// Returns the path of the binary under test: `FABRIC_BIN`, or else the debug build.
pub(crate) fn program() -> PathBuf {
    let path = std::env::var_os("FABRIC_BIN").map_or_else(|| guests::target().join("debug/fabric"), PathBuf::from);
    assert!(path.exists(), "{} is not there\nhint: cargo build -p fabric-cli", path.display());
    path
}

/// Removes the developer's own settings from the environment of a command.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FABRIC_") {
            command.env_remove(name);
        }
    }
    // Opening a software GPU at every start would be slow. Tests of the GPU pass `--gpu`.
    command.env("NO_COLOR", "1").env("FABRIC_GPU", "off");
    // Lets guests of a test kill their host. Only a debug build reads this variable.
    command.env("FABRIC_TEST_HOOKS", "1");
}

/// Returns a command of the binary without the developer's own settings.
pub(crate) fn command(folder: &std::path::Path) -> Command {
    let mut command = Command::new(program());
    without_settings(&mut command);
    command
        .current_dir(folder)
        .env("FABRIC_CONFIG_HOME", folder.join("config"))
        .env("FABRIC_DATA", folder.join("data"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn client(url: &str, token: &str, tenant: Option<&str>) -> Client {
    // One attempt, so that a test sees the first response.
    let mut options =
        fabric_client::Options::new(url).token(token).attempts(1).request_timeout(Duration::from_secs(120));
    if let Some(tenant) = tenant {
        options = options.tenant(tenant);
    }
    Client::new(options).unwrap()
}

async fn start(options: &Options, folder: &std::path::Path) -> (Child, String, String) {
    try_start(options, folder).await.unwrap_or_else(|status| panic!("the server ended ({status})\n{}", log_of(folder)))
}

/// Starts a server. Returns its exit status if it ends before it is ready.
async fn try_start(options: &Options, folder: &std::path::Path) -> Result<(Child, String, String), ExitStatus> {
    let data = folder.join("data");
    // A killed server does not remove this file.
    let _ = std::fs::remove_file(data.join("server.json"));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("server.log")).unwrap();
    let mut child = command(folder)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(&options.args)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let ready = async {
        loop {
            if let Ok(text) = std::fs::read(data.join("server.json")) {
                let about: serde_json::Value = serde_json::from_slice(&text).unwrap();
                return Ok(about["url"].as_str().unwrap().to_owned());
            }
            if let Ok(status) = tokio::time::timeout(LOOK, child.wait()).await {
                return Err(status.unwrap());
            }
        }
    };
    let url =
        tokio::time::timeout(PATIENCE, ready).await.unwrap_or_else(|_| panic!("not ready\n{}", log_of(folder)))?;
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap().trim().to_owned();
    Ok((child, url, token))
}

fn log_of(folder: &std::path::Path) -> String {
    std::fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

impl Server {
    /// Starts a server over a new folder and waits until it is ready.
    pub async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, url, token) = start(&options, folder.path()).await;
        let client = client(&url, &token, None);
        Self { options, folder, child, url, token, client }
    }

    /// Returns the server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a client with the admin's token, in the tenant `default`.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns a new client that sends this secret.
    #[must_use]
    pub fn client_with(&self, secret: &str) -> Client {
        client(&self.url, secret, None)
    }

    /// Returns a client with the admin's token that acts in `tenant`.
    #[must_use]
    pub fn client_in(&self, tenant: &str) -> Client {
        client(&self.url, &self.token, Some(tenant))
    }

    /// Creates a token and returns its secret.
    pub async fn token(&self, tenant: &str, role: Role) -> String {
        let new = NewToken {
            name: format!("{role:?} of {tenant}"),
            tenant: Some(tenant.parse().unwrap()),
            role,
            ttl_s: None,
        };
        self.client.create_token(&new).await.unwrap().secret
    }

    /// Returns the folder of the server's data, its log and the CLI's files.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }

    /// Returns the server's process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id().expect("the server has ended"))
    }

    /// Deploys a module under a name. `more` is added to its manifest.
    pub async fn deploy(&self, name: &str, module: bytes::Bytes, more: &str) -> DeploymentResponse {
        let deploy = DeployRequest::new(guests::manifest(name, more), module);
        self.client.deploy(&deploy).await.unwrap_or_else(|e| panic!("{name}: {e}: {:?}", e.problem()))
    }

    /// Deploys an example under its name.
    pub async fn example(&self, name: &str) -> DeploymentResponse {
        self.deploy(name, guests::built(name), "").await
    }

    /// Stores an object.
    pub async fn put(&self, path: &str, bytes: impl Into<bytes::Bytes>) {
        self.client.put_bytes(path, bytes, &UploadOptions::default()).await.unwrap();
    }

    /// Kills the server with SIGKILL.
    pub async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until the server exits. Returns its exit status, or -1 if a signal ended it.
    pub async fn ended(&mut self) -> i32 {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("still running\n{}", self.log())).unwrap().code().unwrap_or(-1)
    }

    /// Returns `true` if the server has exited.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Restarts the server over the same folder. Returns `false` if it ends before it is ready.
    pub async fn try_restart(&mut self) -> bool {
        self.kill9().await;
        let Ok((child, url, token)) = try_start(&self.options, self.folder.path()).await else { return false };
        self.client = client(&url, &token, None);
        (self.child, self.url, self.token) = (child, url, token);
        true
    }

    /// Kills and restarts the server over the same folder, at another address.
    pub async fn restart(&mut self) {
        self.kill9().await;
        let (child, url, token) = start(&self.options, self.folder.path()).await;
        self.client = client(&url, &token, None);
        (self.child, self.url, self.token) = (child, url, token);
    }

    /// Kills and restarts the server over the same folder with other options.
    pub async fn restart_with(&mut self, options: Options) {
        self.options = options;
        self.restart().await;
    }

    /// Stops the server with SIGTERM and starts it again over the same folder, at another address.
    pub async fn restart_gently(&mut self) {
        self.process().signal("TERM");
        assert_eq!(self.ended().await, 0, "{}", self.log());
        let (child, url, token) = start(&self.options, self.folder.path()).await;
        self.client = client(&url, &token, None);
        (self.child, self.url, self.token) = (child, url, token);
    }

    /// Stops the server with SIGTERM and waits. Returns the exit status, or -1 if a signal ended it.
    pub async fn stop(mut self) -> i32 {
        let id = self.process().0.to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("still running\n{}", self.log())).unwrap().code().unwrap_or(-1)
    }

    /// Sends a request with exactly these bytes as its target.
    pub async fn raw(&self, method: &str, target: impl AsRef<[u8]>, token: Option<&str>, body: &str) -> Answer {
        raw::send(&self.url, method, target.as_ref(), token, body).await
    }

    /// Returns the admin's secret.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.token
    }

    /// Returns the current value of a metric, summed over its labels, or `None` if it is not exposed.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let body = self.client.metrics().await.unwrap().bytes(16 << 20).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap().to_owned();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
            rest.split(' ').next()?.parse::<f64>().ok()
        };
        text.lines().filter_map(value).reduce(|a, b| a + b)
    }

    /// Waits until `wanted` holds for a metric's value.
    pub async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        until(name, async || self.metric(name).await.is_some_and(&wanted)).await;
    }

    /// Returns a CLI command for this server, run in its folder with piped output. The child is killed when dropped.
    #[must_use]
    pub fn cli_command(&self, args: &[&str]) -> Command {
        let mut command = command(self.folder.path());
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a CLI command for this server to completion, in its folder.
    pub async fn cli(&self, args: &[&str]) -> Ran {
        self.cli_with(args, &[]).await
    }

    /// Runs a CLI command with extra environment variables.
    pub async fn cli_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let output = self.cli_command(args).envs(env.iter().copied()).output().await.unwrap();
        Ran::new(args, output)
    }

    /// Starts a CLI command. The child is killed when dropped.
    #[must_use]
    pub fn cli_running(&self, args: &[&str]) -> Child {
        self.cli_command(args).spawn().unwrap()
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// Panics if it does not hold within a minute.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let held = async {
        while !condition().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("timed out waiting for: {what}"));
}
