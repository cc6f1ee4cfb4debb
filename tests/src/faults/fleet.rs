//! The fleet under test: NATS servers, an S3 server and four Fabric processes, each with its own links to the services.

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

/// Timeout of one attempt to reach all processes, after which exited processes are restarted.
const ROUND: Duration = Duration::from_secs(10);
/// Maximum number of these attempts.
const ROUNDS: u32 = 12;

/// Timeout for an awaited condition. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Maximum number of runs until an undisturbed job succeeds.
const WARM_UPS: u32 = 3;
/// Polling interval for conditions that send no notification.
const LOOK: Duration = Duration::from_millis(20);

async fn until(what: &str, condition: impl AsyncFn() -> bool) -> Result<()> {
    let held = async {
        while !condition().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.with_context(|| format!("timed out waiting for: {what}"))
}

/// Parameters of a fleet.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Seed of delays and losses.
    pub seed: u64,
    /// Number of NATS servers: 1 or 3.
    pub nats: usize,
    /// `true` to run each process in a network namespace, `false` to connect it to the services through proxies.
    pub namespaces: bool,
    /// Extra arguments of `fabric serve`.
    pub args: Vec<String>,
}

/// A running fleet. Dropping it stops all its processes.
#[derive(Debug)]
pub struct Fleet {
    // Fields are dropped in this order: the processes before the services that they need.
    pub(crate) members: Vec<Member>,
    pub(crate) nats: Vec<Nats>,
    pub(crate) s3: S3,
    folder: TempDir,
    undisturbed: BTreeMap<Work, Ended>,
}

impl Fleet {
    /// Starts a fleet of four processes: the owner of the jobs, a second candidate, a node and a gateway.
    ///
    /// # Errors
    /// Returns an error with the log of the process that did not start.
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

    /// Deploys the functions and data of the jobs and runs each job undisturbed.
    ///
    /// # Errors
    /// Returns the error of the step that failed.
    pub async fn furnish(&mut self, works: &[Work]) -> Result<()> {
        let doors = self.doors();
        doors.ask("deploying", async |client| Work::furnish(client).await).await?;
        for &work in works.iter().chain([&Work::Small]) {
            // The first run is a warm-up: nodes compile the module, and on a busy machine that may exceed its limit.
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

    /// Returns the result of the undisturbed run of a job.
    ///
    /// # Errors
    /// Returns an error if the job was not passed to [`Self::furnish`].
    pub fn undisturbed(&self, work: Work) -> Result<&Ended> {
        self.undisturbed.get(&work).with_context(|| format!("{work:?} was not furnished"))
    }

    pub(crate) fn doors(&self) -> Doors {
        Doors(self.members.iter().filter_map(Member::door).collect())
    }

    /// Returns the index of the owner of the jobs: the running process with the highest lease epoch.
    #[must_use]
    pub fn owner(&self) -> Option<usize> {
        let epochs = self.members.iter().enumerate().filter_map(|(n, member)| Some((member.epoch()?, n)));
        epochs.max().map(|(_, n)| n)
    }

    /// Returns the process with this index.
    pub(crate) fn member(&mut self, n: usize) -> Result<&mut Member> {
        self.members.get_mut(n).context("no such process")
    }

    /// Waits until a process other than `before` owns the jobs.
    pub(crate) async fn until_another_owns(&self, before: usize) -> Result<()> {
        let another = async || self.owner().is_some_and(|owner| owner != before);
        until("another process owns the jobs", another).await
    }

    /// Returns `true` if the owner lists a node of this name.
    pub(crate) async fn lists(&self, node: &str) -> Result<bool> {
        let page =
            self.doors().ask("listing nodes", async |client| client.nodes(&PageOptions::default()).await).await?;
        Ok(page.items.iter().any(|known| known.facts.id.as_str() == node))
    }

    /// Restarts processes that have exited, and waits until every process responds and lists every node. Returns the
    /// names of the restarted processes.
    ///
    /// # Errors
    /// Returns an error if a process exited for a reason other than a fault, or does not start.
    pub async fn whole(&mut self) -> Result<Vec<&'static str>> {
        let mut ended = Vec::new();
        for _ in 0..ROUNDS {
            for member in &mut self.members {
                let Some(status) = member.has_ended().await? else { continue };
                // Expected exits: a kill by the test, or an owner that lost its lease, which logs so and exits to be
                // restarted by its supervisor.
                let fenced = member.log().contains("another process owns the jobs now");
                ensure!(status.code().is_none() || fenced, "{} ended: {status}\n{}", member.name(), member.log());
                ended.push(member.name());
                member.start().await?;
            }
            // A disconnected owner may discover during this check that it lost its lease, and exit.
            if let Ok(ready) = tokio::time::timeout(ROUND, self.ready()).await {
                return ready.map(|()| ended);
            }
        }
        self.ready().await.map(|()| ended)
    }

    /// Waits until every process responds and lists every node.
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
                    page.iter().flat_map(|page| &page.items).map(|node| node.facts.id.to_string()).collect();
                known.sort();
                known == nodes
            };
            until("every node is known", all).await?;
        }
        Ok(())
    }

    /// Sets the network condition of every link.
    pub(crate) fn weather(&self, weather: Weather) -> Result<()> {
        self.members.iter().try_for_each(|member| member.nats(weather).and_then(|()| member.s3(weather)))
    }

    /// Kills every NATS server and starts them again, empty, after `hold`.
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

    /// Checks the logs: no process panicked, and no recomputed result differed from the committed one.
    ///
    /// # Errors
    /// Returns the offending log line.
    pub fn check_logs(&self) -> Result<()> {
        for member in &self.members {
            for line in member.log().lines() {
                let bad = line.contains("panicked at") || line.contains("differs from the committed one");
                ensure!(!bad, "{}: {line}", member.name());
            }
        }
        Ok(())
    }

    /// Returns the folder of all logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the fleet and returns its folder, which is not deleted.
    #[must_use]
    pub fn keep(self) -> std::path::PathBuf {
        let Self { members, nats, s3, folder, .. } = self;
        drop((members, nats, s3));
        folder.keep()
    }
}
