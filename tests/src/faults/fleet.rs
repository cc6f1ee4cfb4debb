//! A fleet to break: NATS servers, an S3 server, and four processes of one fabric, each behind lines of its own.

use super::{
    clock::Clock,
    doors::Doors,
    member::{Member, Plan, Role},
    netns::Bridge,
    network::Network,
    proxy::Weather,
    service::{Nats, S3},
    work::Work,
};
use crate::Ended;
use anyhow::{Context as _, Result, ensure};
use fabric_client::PageOptions;
use fabric_types::job::JobState;
use std::{collections::BTreeMap, path::Path, time::Duration};
use tempfile::TempDir;

/// How long processes may take to answer before it is looked again whether one has ended.
const ROUND: Duration = Duration::from_secs(10);
/// How often that is done.
const ROUNDS: u32 = 12;

/// How long something awaited may take. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a job is tried that shall run undisturbed.
const WARM_UPS: u32 = 3;
/// How often it is looked at: nothing announces it.
const LOOK: Duration = Duration::from_millis(20);

async fn until(what: &str, condition: impl AsyncFn() -> bool) -> Result<()> {
    let held = async {
        while !condition().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.with_context(|| format!("did not come true: {what}"))
}

/// How a fleet is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What delays and losses are drawn from.
    pub seed: u64,
    /// How many NATS servers: 1 or 3.
    pub nats: usize,
    /// Whether each process gets a network namespace. Else each gets proxies to the services.
    pub namespaces: bool,
    /// More arguments of `fabric serve`.
    pub args: Vec<String>,
}

/// A running fleet. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    // In the order of their end: the processes before what they need.
    pub(crate) members: Vec<Member>,
    pub(crate) nats: Vec<Nats>,
    pub(crate) s3: S3,
    folder: TempDir,
    undisturbed: BTreeMap<Work, Ended>,
}

impl Fleet {
    /// Starts one with an owner of the jobs, another that may become it, a node and a gateway.
    ///
    /// # Errors
    /// What did not start, and its log.
    pub async fn start(setup: &Setup) -> Result<Self> {
        fabric_client::init_tls();
        let folder = tempfile::Builder::new().prefix("fabric-faults-").tempdir()?;
        let path = folder.path();
        let network = if setup.namespaces { Network::Namespaces(Bridge::new()?) } else { Network::Proxies };
        let seats = (0..setup.nats).map(|_| network.seat()).collect::<Result<_>>()?;
        let (nats, s3) = tokio::try_join!(Nats::cluster(path, seats), S3::start(path, network.seat()?))?;
        let clock = Clock::compile(path)?;
        let plan = |name, role, small_disk| Plan { name, role, small_disk, args: setup.args.clone() };
        let plans = [
            plan("alpha", Role::All, false),
            plan("beta", Role::All, true),
            plan("node", Role::Node, true),
            plan("gate", Role::Gateway, false),
        ];
        let mut fleet = Self { members: Vec::new(), nats, s3, folder, undisturbed: BTreeMap::new() };
        for (n, plan) in plans.into_iter().enumerate() {
            let (path, seed) = (fleet.folder.path(), setup.seed.wrapping_add(100 * n as u64));
            let mut member = Member::new(plan, &network, (&fleet.nats, &fleet.s3), path, &clock, seed).await?;
            member.start().await?;
            fleet.members.push(member);
        }
        fleet.whole().await?;
        Ok(fleet)
    }

    /// Deploys what the jobs need and runs each undisturbed.
    ///
    /// # Errors
    /// What failed.
    pub async fn furnish(&mut self, works: &[Work]) -> Result<()> {
        let doors = self.doors();
        doors.ask("deploying", async |client| Work::furnish(client).await).await?;
        for &work in works.iter().chain([&Work::Small]) {
            // Once to warm up: nodes compile the module, for which a busy machine may even be too slow.
            let mut ended = Self::run(&doors, work).await?;
            for _ in 0..WARM_UPS {
                ended = Self::run(&doors, work).await?;
                if ended.job.state == JobState::Succeeded {
                    break;
                }
            }
            ended.check(&ended).with_context(|| format!("{work:?}, undisturbed"))?;
            self.undisturbed.insert(work, ended);
        }
        Ok(())
    }

    async fn run(doors: &Doors, work: Work) -> Result<Ended> {
        let spec = work.spec()?;
        let id = doors.ask("submitting", async |client| client.submit(&spec, None).await).await?.id.to_string();
        let read = async |client: &fabric_client::Client| {
            client.wait_job(&id).await?;
            Ended::read(client, &id).await
        };
        doors.ask("the undisturbed job", read).await
    }

    /// How a job ended when nothing disturbed it.
    ///
    /// # Errors
    /// When the fleet was not furnished with it.
    pub fn undisturbed(&self, work: Work) -> Result<&Ended> {
        self.undisturbed.get(&work).with_context(|| format!("{work:?} was not furnished"))
    }

    pub(crate) fn doors(&self) -> Doors {
        Doors(self.members.iter().filter_map(Member::door).collect())
    }

    /// The process that owns the jobs: of those that run, the one with the latest epoch.
    #[must_use]
    pub fn owner(&self) -> Option<usize> {
        let epochs = self.members.iter().enumerate().filter_map(|(n, member)| Some((member.epoch()?, n)));
        epochs.max().map(|(_, n)| n)
    }

    /// A process by its place.
    pub(crate) fn member(&mut self, n: usize) -> Result<&mut Member> {
        self.members.get_mut(n).context("no such process")
    }

    /// Waits until another than the process at this place owns the jobs.
    pub(crate) async fn until_another_owns(&self, before: usize) -> Result<()> {
        let another = async || self.owner().is_some_and(|owner| owner != before);
        until("another process owns the jobs", another).await
    }

    /// Whether the owner counts the node of this name among its nodes.
    pub(crate) async fn lists(&self, node: &str) -> Result<bool> {
        let page =
            self.doors().ask("listing nodes", async |client| client.nodes(&PageOptions::default()).await).await?;
        Ok(page.items.iter().any(|known| known.id.as_str() == node))
    }

    /// Starts what has ended and waits until every process answers and every node is known. Gives the names of those that
    /// had ended.
    ///
    /// # Errors
    /// A process that ended without a reason to, or does not start.
    pub async fn whole(&mut self) -> Result<Vec<&'static str>> {
        let mut ended = Vec::new();
        for _ in 0..ROUNDS {
            for member in &mut self.members {
                let Some(status) = member.has_ended().await? else { continue };
                // Killed by us, or an owner that lost its lease: it says so and leaves the rest to its supervisor.
                let fenced = member.log().contains("another process owns the jobs now");
                ensure!(status.code().is_none() || fenced, "{} ended: {status}\n{}", member.name(), member.log());
                ended.push(member.name());
                member.start().await?;
            }
            // An owner that was cut off may find out while it is asked that it lost its lease, and end.
            if let Ok(ready) = tokio::time::timeout(ROUND, self.ready()).await {
                return ready.map(|()| ended);
            }
        }
        self.ready().await.map(|()| ended)
    }

    /// Waits until every process answers and knows every node.
    async fn ready(&self) -> Result<()> {
        let mut nodes: Vec<_> =
            self.members.iter().filter(|m| m.role() != Role::Gateway).map(|m| m.name().to_owned()).collect();
        nodes.sort();
        for door in self.doors().0 {
            let door = Doors(vec![door]);
            door.ask("being ready", async |client| client.ready().await).await?;
            let all = async || {
                let page = door.ask("listing nodes", async |client| client.nodes(&PageOptions::default()).await).await;
                let mut known: Vec<_> =
                    page.iter().flat_map(|page| &page.items).map(|node| node.id.to_string()).collect();
                known.sort();
                known == nodes
            };
            until("every node is known", all).await?;
        }
        Ok(())
    }

    /// Sets the weather of every line.
    pub(crate) fn weather(&self, weather: Weather) -> Result<()> {
        self.members.iter().try_for_each(|member| member.nats(weather).and_then(|()| member.s3(weather)))
    }

    /// Kills every NATS server, and after a while starts them again with nothing that they knew.
    pub(crate) async fn lose_nats(&mut self, hold: Duration) -> Result<()> {
        for server in &mut self.nats {
            server.kill().await?;
        }
        tokio::time::sleep(hold).await;
        for server in &mut self.nats {
            server.start().await?;
        }
        Ok(())
    }

    /// No process panicked, and none computed another result than one that is committed.
    ///
    /// # Errors
    /// The log line that says otherwise.
    pub fn check_logs(&self) -> Result<()> {
        for member in &self.members {
            for line in member.log().lines() {
                let bad = line.contains("panicked at") || line.contains("differs from the committed one");
                ensure!(!bad, "{}: {line}", member.name());
            }
        }
        Ok(())
    }

    /// Where everything's logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the fleet and keeps its folder, for who looks into a failure.
    #[must_use]
    pub fn keep(self) -> std::path::PathBuf {
        let Self { members, nats, s3, folder, .. } = self;
        drop((members, nats, s3));
        folder.keep()
    }
}
