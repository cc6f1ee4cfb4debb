//! The services of a fleet, as processes that can be killed and restarted at the same address.

use super::network::{Seat, free_ports};
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Child;

/// Interval of readiness probes.
const ASK: Duration = Duration::from_millis(50);
/// Timeout for a server to become ready. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's process.
#[derive(Debug)]
struct Service {
    seat: Seat,
    program: OsString,
    args: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl Service {
    fn launch(&mut self) -> Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.seat.command(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().with_context(|| self.program.display().to_string())?);
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Waits until `answers` returns `true`.
    async fn ready(&mut self, answers: impl AsyncFn() -> bool) -> Result<()> {
        let child = self.child.as_mut().context("the server was not started")?;
        let ready = async {
            while !answers().await {
                if let Ok(status) = tokio::time::timeout(ASK, child.wait()).await {
                    bail!("the server ended: {}", status?);
                }
            }
            Ok(())
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await.context("the server was not ready within a minute");
        let log = || format!("{}\n{}", self.program.display(), std::fs::read_to_string(&self.log).unwrap_or_default());
        ready.and_then(|ready| ready).with_context(log)
    }
}

fn program(variable: &str, what: &str) -> Result<OsString> {
    let named = std::env::var_os(variable).filter(|named| !named.is_empty());
    named.with_context(|| format!("set {variable} to {what}, or run `cargo xtask test`"))
}

/// A NATS server, alone or in a cluster.
#[derive(Debug)]
pub(crate) struct Nats {
    service: Service,
    address: SocketAddr,
}

impl Nats {
    /// Starts one server for each seat and waits until all accept connections.
    pub(crate) async fn cluster(folder: &Path, seats: Vec<Seat>) -> Result<Vec<Self>> {
        let program = program("FABRIC_TEST_NATS", "nats-server 2.10 or newer")?;
        let mut places = Vec::new();
        for seat in seats {
            let [client, route] = free_ports()?;
            places.push((SocketAddr::new(seat.address(), client), SocketAddr::new(seat.address(), route), seat));
        }
        let routes: Vec<_> = places.iter().map(|(_, route, _)| format!("\"nats://{route}\"")).collect();
        let mut servers = Vec::new();
        for (n, (address, route, seat)) in places.into_iter().enumerate() {
            // Clients keep the configured addresses, since the links that faults cut are behind them.
            let cluster = format!(
                "cluster {{ name: fleet, listen: \"{route}\", no_advertise: true, routes: [ {} ] }}\n",
                routes.join(", ")
            );
            let text = format!("server_name: nats-{n}\nlisten: \"{address}\"\n");
            let config = folder.join(format!("nats-{n}.conf"));
            std::fs::write(&config, if routes.len() > 1 { text + &cluster } else { text })?;
            let args = vec!["-c".into(), config.into_os_string()];
            let log = folder.join(format!("nats-{n}.log"));
            let service = Service { seat, program: program.clone(), args, log, child: None };
            servers.push(Self { service, address });
        }
        for server in &mut servers {
            server.service.launch()?;
        }
        for server in &mut servers {
            server.ready().await?;
        }
        Ok(servers)
    }

    async fn ready(&mut self) -> Result<()> {
        let address = self.address;
        self.service.ready(async || tokio::net::TcpStream::connect(address).await.is_ok()).await
    }

    /// Restarts the server without its data.
    pub(crate) async fn start(&mut self) -> Result<()> {
        self.service.launch()?;
        self.ready().await
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.service.kill().await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An S3 server (SeaweedFS) with the bucket `fabric`.
#[derive(Debug)]
pub(crate) struct S3 {
    service: Service,
    address: SocketAddr,
}

const KEY: &str = "AKfabric";
const SECRET: &str = "SKfabricsecret";

impl S3 {
    pub(crate) async fn start(folder: &Path, seat: Seat) -> Result<Self> {
        let program = program("FABRIC_TEST_WEED", "SeaweedFS's `weed` program")?;
        let data = folder.join("s3");
        std::fs::create_dir(&data)?;
        // Anonymous writes are allowed, so that the bucket can be created. Signed requests are checked nevertheless.
        let config = folder.join("s3.json");
        let actions = r#"["Admin","Read","Write","List","Tagging"]"#;
        let credentials = format!(r#"[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}]"#);
        std::fs::write(
            &config,
            format!(
                r#"{{"identities":[{{"name":"fabric","credentials":{credentials},"actions":{actions}}},{{"name":"anonymous","actions":{actions}}}]}}"#
            ),
        )?;
        let ip = seat.address();
        let [master, volume, filer, port] = free_ports()?;
        let args = [
            "-logtostderr=true".to_owned(),
            "server".to_owned(),
            format!("-ip={ip}"),
            format!("-ip.bind={ip}"),
            "-master.telemetry=false".to_owned(),
            "-filer".to_owned(),
            "-s3".to_owned(),
            "-s3.iam=false".to_owned(),
            "-master.volumeSizeLimitMB=1024".to_owned(),
            "-volume.max=8".to_owned(),
            // Unused, and on fixed ports by default, so that two servers could not run concurrently.
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-dir={}", data.display()),
            format!("-master.port={master}"),
            format!("-volume.port={volume}"),
            format!("-filer.port={filer}"),
            format!("-s3.port={port}"),
            format!("-s3.config={}", config.display()),
        ];
        let args = args.map(OsString::from).to_vec();
        let service = Service { seat, program, args, log: folder.join("s3.log"), child: None };
        let mut server = Self { service, address: SocketAddr::new(ip, port) };
        server.again().await?;
        Ok(server)
    }

    /// Starts the server over its existing data and waits until it accepts an object.
    pub(crate) async fn again(&mut self) -> Result<()> {
        self.service.launch()?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        // The server creates a bucket when an administrator writes into it.
        let url = format!("http://{}/fabric/ready", self.address);
        let takes = async || match client.put(&url).body("ready").send().await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        };
        self.service.ready(takes).await
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.service.kill().await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the fleet's store for a process that reaches the server at `address`.
    pub(crate) fn store(address: SocketAddr) -> String {
        format!(
            "s3://fabric/fleet?endpoint=http://{address}&access_key_id={KEY}&secret_access_key={SECRET}&region=us-east-1"
        )
    }
}
