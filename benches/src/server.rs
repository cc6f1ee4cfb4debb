//! The server under measurement: the release binary over a folder of its own.

use crate::{
    arguments::Arguments,
    peer::{self, Peer},
};
use fabric_client::{Client, Deploy};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// A running server.
pub struct Server {
    peer: Peer,
    /// Its address.
    pub url: String,
    /// The admin's token.
    pub token: String,
    /// A client with it.
    pub client: Client,
    /// From the start of the process to the first good answer of `/readyz`.
    pub ready: Duration,
}

/// `fabric serve` over a folder, on any port, with none of the developer's own settings.
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

/// What `server.json` says of the address, once it is there.
fn address(data: &Path) -> Option<String> {
    let text = std::fs::read(data.join("server.json")).ok()?;
    let about: serde_json::Value = serde_json::from_slice(&text).ok()?;
    about.get("url")?.as_str().map(str::to_owned)
}

impl Server {
    /// Starts one over `data` and waits until it is ready.
    pub async fn start(arguments: &Arguments, data: &Path) -> anyhow::Result<Self> {
        let program = arguments.fabric()?;
        let _ = std::fs::remove_file(data.join("server.json"));
        let began = Instant::now();
        let peer = Peer::start(&mut command(&program, data))?;
        Self::when_ready(peer, data, began).await
    }

    /// The server of a process that was started at `began` over `data`, once it is ready.
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

    /// Its process.
    pub fn id(&self) -> u32 {
        self.peer.id()
    }

    /// Deploys a guest under its name, with more lines of its `[function]` section.
    pub async fn deploy(&self, arguments: &Arguments, name: &str, more: &str) -> anyhow::Result<()> {
        let manifest = format!("[function]\nname = \"{name}\"\n{more}\n");
        self.client.deploy(&Deploy::new(manifest, arguments.guest(name)?)).await?;
        Ok(())
    }

    /// Stops it.
    pub fn stop(self) {
        self.peer.stop();
    }
}
