//! A fleet of processes with all roles, over one NATS server and one folder as their store.

use crate::{Nats, Options, Process, Server, until};
use fabric_client::PageOptions;
use tempfile::TempDir;

/// The log line of the process that owns the jobs.
const OWNER: &str = "owner of the jobs";

/// A running fleet.
#[derive(Debug)]
pub struct SmallFleet {
    /// The processes.
    pub servers: Vec<Server>,
    /// The NATS server.
    pub nats: Nats,
    shared: TempDir,
}

impl SmallFleet {
    /// Starts `size` processes with one slot each and these arguments. The first owns the jobs.
    pub async fn start(size: usize, args: &[&str]) -> Self {
        let mut fleet = Self { servers: Vec::new(), nats: Nats::start(), shared: tempfile::tempdir().unwrap() };
        for n in 0..size {
            fleet.join(args).await;
            if n == 0 {
                until("the first owns the jobs", async || fleet.servers[0].log().contains(OWNER)).await;
            }
        }
        fleet.complete(size).await;
        fleet
    }

    /// Returns the arguments with which a process joins this fleet.
    #[must_use]
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let store = format!("file://{}", self.store().display());
        let args = ["--nats", self.nats.url(), "--store", &store, "--slots", "1"];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    /// Returns the folder of the store.
    #[must_use]
    pub fn store(&self) -> &std::path::Path {
        self.shared.path()
    }

    /// Starts another process in this fleet.
    pub async fn join(&mut self, args: &[&str]) {
        let args = self.arguments(args);
        self.servers.push(Server::start(Options { args }).await);
    }

    /// Waits until every process lists `nodes` ready nodes.
    pub async fn complete(&self, nodes: usize) {
        for server in &self.servers {
            until("every node is ready", async || {
                let page = server.client().nodes(&PageOptions::default()).await;
                page.is_ok_and(|p| p.items.iter().filter(|n| n.state == "ready").count() == nodes)
            })
            .await;
        }
    }

    /// Returns the id and the state of each node, as the process at `at` lists them.
    pub async fn states(&self, at: usize) -> Vec<(String, String)> {
        let page = self.servers[at].client().nodes(&PageOptions::default()).await.unwrap();
        page.items.into_iter().map(|node| (node.facts.id.to_string(), node.state)).collect()
    }

    /// Returns the name of the process at `at`.
    #[must_use]
    pub fn name(&self, at: usize) -> String {
        std::fs::read_to_string(self.servers[at].folder().join("data/name")).unwrap().trim().to_owned()
    }

    /// Returns the process of the NATS server.
    #[must_use]
    pub fn nats_process(&self) -> Process {
        self.nats.process()
    }
}
