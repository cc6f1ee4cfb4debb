//! The processes of a fleet on this machine, and the servers that they share.

use crate::{
    arguments::Arguments,
    machine,
    peer::Peer,
    server::{self, Server},
    services::Services,
};
use anyhow::Context as _;
use fabric_client::PageOptions;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Timeout for the processes to discover each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process to start.
pub struct Plan {
    /// Name of the process.
    pub name: String,
    /// Value of `--role`.
    pub role: &'static str,
    /// Value of `--slots`; 0 for the default of one guest per CPU.
    pub slots: usize,
}

/// A running fleet. Dropping it kills the processes and deletes its folder.
pub struct Fleet {
    /// Processes with the gateway role, in the order of the plans.
    pub gateways: Vec<Server>,
    /// Processes with only the node role, with their names.
    pub nodes: Vec<(String, Peer)>,
    /// NATS server and store.
    pub services: Services,
    folder: TempDir,
}

impl Fleet {
    /// Starts the processes, and waits until each gateway reports every node as ready.
    pub async fn start(arguments: &Arguments, plans: &[Plan]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(arguments.data()?)?;
        let services = Services::start(arguments, folder.path()).await?;
        let mut fleet = Self { gateways: Vec::new(), nodes: Vec::new(), services, folder };
        let filled = fleet.fill(arguments, plans).await;
        filled
            .with_context(|| format!("starting a fleet, whose logs end with\n{}", last_words(fleet.folder.path())))?;
        Ok(fleet)
    }

    async fn fill(&mut self, arguments: &Arguments, plans: &[Plan]) -> anyhow::Result<()> {
        for plan in plans {
            self.add(arguments, plan).await?;
        }
        let nodes = plans.iter().filter(|plan| plan.role.contains("node") || plan.role == "all").count();
        let known = async {
            for gateway in &self.gateways {
                while gateway.ready_nodes().await < nodes {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, known).await.context("not all nodes became ready within a minute")
    }

    async fn add(&mut self, arguments: &Arguments, plan: &Plan) -> anyhow::Result<()> {
        let data = self.folder.path().join(&plan.name);
        std::fs::create_dir(&data)?;
        let mut command = server::command(&arguments.fabric()?, &data);
        command.args(["--name", &plan.name, "--role", plan.role]);
        command.args(["--nats", &self.services.nats_url, "--store", &self.services.store]);
        if plan.slots > 0 {
            command.args(["--slots", &plan.slots.to_string()]);
        }
        let began = Instant::now();
        let peer = Peer::start_logged(&mut command, &data.with_extension("log"))?;
        if plan.role == "node" {
            self.nodes.push((plan.name.clone(), peer));
        } else {
            self.gateways.push(Server::when_ready(peer, &data, began).await?);
        }
        Ok(())
    }

    /// Returns the first process with the gateway role.
    pub fn gateway(&self) -> anyhow::Result<&Server> {
        self.gateways.first().context("no process of the fleet answers clients")
    }

    /// Returns CPU microseconds: of the fleet's processes, of NATS, and of the S3 server.
    pub fn cpu_us(&self) -> [f64; 3] {
        let gateways = self.gateways.iter().map(Server::id);
        let own = gateways.chain(self.nodes.iter().map(|(_, peer)| peer.id())).map(machine::cpu_us).sum();
        let s3 = self.services.s3.as_ref().map_or(0.0, |peer| machine::cpu_us(peer.id()));
        [own, machine::cpu_us(self.services.nats.id()), s3]
    }
}

impl Server {
    async fn ready_nodes(&self) -> usize {
        let page = self.client.nodes(&PageOptions::default()).await;
        page.map_or(0, |page| page.items.iter().filter(|node| node.state == "ready").count())
    }
}

/// Returns the end of each log in a fleet's folder.
fn last_words(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let ends = logs.filter_map(|path| {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        let end: Vec<_> = lines.into_iter().rev().map(|line| format!("  {line}")).collect();
        Some(format!("{}:\n{}", path.file_name()?.display(), end.join("\n")))
    });
    ends.collect::<Vec<_>>().join("\n")
}
