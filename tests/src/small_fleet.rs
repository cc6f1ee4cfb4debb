//! A few processes that do everything over one NATS server and one folder as their store.

use crate::{Nats, Options, Process, Server, until};
use fabric_client::PageOptions;
use tempfile::TempDir;

/// Says that a process owns the jobs.
const OWNER: &str = "owner of the jobs";

/// The fleet.
#[derive(Debug)]
pub struct SmallFleet {
    /// Its processes.
    pub servers: Vec<Server>,
    /// Its NATS server.
    pub nats: Nats,
    shared: TempDir,
}

impl SmallFleet {
    /// So many processes with one slot each and these arguments; the first owns the jobs.
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

    /// The arguments that make a process one of it.
    #[must_use]
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let store = format!("file://{}", self.store().display());
        let args = ["--nats", self.nats.url(), "--store", &store, "--slots", "1"];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    /// The folder that is its store.
    #[must_use]
    pub fn store(&self) -> &std::path::Path {
        self.shared.path()
    }

    /// Starts one more process.
    pub async fn join(&mut self, args: &[&str]) {
        let args = self.arguments(args);
        self.servers.push(Server::start(Options { args }).await);
    }

    /// Waits until every process knows so many nodes that take work.
    pub async fn complete(&self, nodes: usize) {
        for server in &self.servers {
            until("every node is ready", async || {
                let page = server.client().nodes(&PageOptions::default()).await;
                page.is_ok_and(|p| p.items.iter().filter(|n| n.state == "ready").count() == nodes)
            })
            .await;
        }
    }

    /// Each node with its state, as a process sees them.
    pub async fn states(&self, at: usize) -> Vec<(String, String)> {
        let page = self.servers[at].client().nodes(&PageOptions::default()).await.unwrap();
        page.items.into_iter().map(|node| (node.id.to_string(), node.state)).collect()
    }

    /// A process's name.
    #[must_use]
    pub fn name(&self, at: usize) -> String {
        std::fs::read_to_string(self.servers[at].folder().join("data/name")).unwrap().trim().to_owned()
    }

    /// The process of its NATS server.
    #[must_use]
    pub fn nats_process(&self) -> Process {
        self.nats.process()
    }
}
