//! The server under measurement: the release binary with its own data folder.

use crate::{
    arguments::Arguments,
    peer::{self, Peer},
};
use fabric_client::{Client, DeployRequest};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// A running server.
pub struct Server {
    peer: Peer,
    /// Server address.
    pub url: String,
    /// Token of the admin.
    pub token: String,
    /// A client with the admin's token.
    pub client: Client,
    /// Time from the start of the process to the first success of `/readyz`.
    pub ready: Duration,
}

/// Returns a command for `fabric serve` with a data folder, on any port, without the developer's own settings.
pub fn command(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FABRIC_") {
            command.env_remove(name);
        }
    }
    command.env("FABRIC_GPU", "off").args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// Returns the address in `server.json`, once the file exists.
fn address(data: &Path) -> Option<String> {
    let text = std::fs::read(data.join("server.json")).ok()?;
    let about: serde_json::Value = serde_json::from_slice(&text).ok()?;
    about.get("url")?.as_str().map(str::to_owned)
}

impl Server {
    /// Starts a server with the folder `data` and waits until it is ready.
    pub async fn start(arguments: &Arguments, data: &Path) -> anyhow::Result<Self> {
        let program = arguments.fabric()?;
        let _ = std::fs::remove_file(data.join("server.json"));
        let began = Instant::now();
        let peer = Peer::start(&mut command(&program, data))?;
        Self::when_ready(peer, data, began).await
    }

    /// Waits until a process that was started at `began` with the folder `data` is ready.
    pub async fn when_ready(peer: Peer, data: &Path, began: Instant) -> anyhow::Result<Self> {
        let url = loop {
            if let Some(url) = address(data) {
                break url;
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "the server does not start");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        peer::until_ok(&reqwest::Client::new(), &format!("{url}/readyz")).await?;
        let ready = began.elapsed();
        let token = std::fs::read_to_string(data.join("admin-token"))?.trim().to_owned();
        let client = Client::new(fabric_client::Options::new(&url).token(&token))?;
        Ok(Self { peer, url, token, client, ready })
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.peer.id()
    }

    /// Deploys a guest under its name. `more` is added to the `[function]` section of its manifest.
    pub async fn deploy(&self, arguments: &Arguments, name: &str, more: &str) -> anyhow::Result<()> {
        let manifest = format!("[function]\nname = \"{name}\"\n{more}\n");
        self.client.deploy(&DeployRequest::new(manifest, arguments.guest(name)?)).await?;
        Ok(())
    }

    /// Stops the server.
    pub fn stop(self) {
        self.peer.stop();
    }
}
