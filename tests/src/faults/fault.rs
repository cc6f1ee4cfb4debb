//! The faults that a round can inject.

use super::{
    fleet::Fleet,
    member::{Member, Role},
    proxy::Weather,
};
use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use tokio::sync::watch;

/// Timeout for a process to detect that its disk has space again.
const READY: Duration = Duration::from_secs(30);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// `kill -9` of a process that runs guests and does not own the jobs.
    KillNode,
    /// `kill -9` of the owner of the jobs.
    KillOwner,
    /// `kill -9` of a gateway.
    KillGateway,
    /// `kill -9` of all NATS servers, which restart empty.
    KillNats,
    /// `kill -9` of one of three NATS servers.
    KillOneNats,
    /// `kill -9` of the S3 server, which restarts with its data.
    RestartS3,
    /// A process loses its connection to NATS but not to S3.
    CutNats,
    /// A process loses its connection to S3 but not to NATS.
    CutS3,
    /// A process loses its connections to NATS and S3.
    CutBoth,
    /// A node is frozen until it counts as lost, then resumed.
    FreezeNode,
    /// The owner of the jobs is frozen until another process takes over, then resumed.
    FreezeOwner,
    /// The disk of a process is full.
    FullDisk,
    /// The wall clock of a process jumps.
    ClockJump,
    /// All traffic is delayed and some of it is lost.
    RoughNetwork,
}

impl Fault {
    /// Returns all faults.
    #[must_use]
    pub fn all() -> &'static [Self] {
        clap::ValueEnum::value_variants()
    }

    /// Returns the name of the fault on the command line.
    #[must_use]
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A fault with all its random parameters, drawn before it is injected.
#[derive(Debug)]
pub(crate) struct Strike {
    fault: Fault,
    victim: usize,
    server: usize,
    weather: Weather,
    hold: Duration,
    ahead_s: i64,
    /// Description of the target and the parameters, for the output.
    pub(crate) what: String,
}

impl Strike {
    /// Draws the target and the parameters of a fault.
    pub(crate) fn draw(fault: Fault, fleet: &Fleet, random: &mut ChaCha8Rng) -> Result<Self> {
        let owner = fleet.owner().context("no process owns the jobs")?;
        let those = |wanted: &dyn Fn(usize, &Member) -> bool| -> Vec<usize> {
            fleet.members.iter().enumerate().filter(|(n, member)| wanted(*n, member)).map(|(n, _)| n).collect()
        };
        let nodes = |n: usize, member: &Member| n != owner && member.role() != Role::Gateway;
        let candidates = match fault {
            Fault::KillNode | Fault::FreezeNode => those(&nodes),
            Fault::KillOwner | Fault::FreezeOwner => vec![owner],
            Fault::KillGateway => those(&|_, member| member.role() == Role::Gateway),
            Fault::FullDisk => those(&|_, member| member.has_small_disk()),
            _ => those(&|_, _| true),
        };
        // Every parameter is drawn in this order for every fault, so that a seed has the same meaning for all of them.
        let victim = *candidates.choose(random).context("the fleet has no process to which this fault applies")?;
        let server = random.random_range(0..fleet.nats.len());
        let broken = if random.random() { Weather::Cut } else { Weather::Stalled };
        let rough = Weather::Rough { delay: millis(random.random_range(2..=40)), lost: random.random_range(1..=20) };
        let hold = millis(random.random_range(500..=8000));
        let (ahead_s, ahead): (i64, bool) = (random.random_range(30..=40 * 86_400), random.random());
        let ahead_s = if ahead { ahead_s } else { -ahead_s };
        let name = fleet.members.get(victim).map_or("", Member::name);
        let role = if victim == owner { ", the owner" } else { "" };
        let weather = if fault == Fault::RoughNetwork { rough } else { broken };
        let what = match fault {
            Fault::KillNats => format!("for {} ms", hold.as_millis()),
            Fault::KillOneNats => format!("server {server} for {} ms", hold.as_millis()),
            Fault::RestartS3 => "now".to_owned(),
            Fault::CutNats | Fault::CutS3 | Fault::CutBoth => {
                format!("{name}{role}, {weather:?} for {} ms", hold.as_millis())
            }
            Fault::ClockJump => format!("{name}{role}, by {ahead_s} s for {} ms", hold.as_millis()),
            Fault::RoughNetwork => format!("{weather:?}"),
            _ => format!("{name}{role}"),
        };
        Ok(Self { fault, victim, server, weather, hold, ahead_s, what })
    }

    /// Injects the fault, holds it until it has lasted long enough or `over` reports the end of the job, and removes
    /// it.
    pub(crate) async fn strike(&self, fleet: &mut Fleet, mut over: watch::Receiver<bool>) -> Result<()> {
        let hold = self.hold;
        let mut while_it_lasts = async || drop(tokio::time::timeout(hold, over.wait_for(|over| *over)).await);
        let (victim, weather) = (self.victim, self.weather);
        match self.fault {
            Fault::KillNode | Fault::KillGateway => {
                fleet.member(victim)?.kill().await?;
                fleet.member(victim)?.start().await
            }
            Fault::KillOwner => {
                fleet.member(victim)?.kill().await?;
                fleet.until_another_owns(victim).await?;
                fleet.member(victim)?.start().await
            }
            Fault::KillNats => fleet.lose_nats(hold).await,
            Fault::KillOneNats => {
                ensure!(fleet.nats.len() > 1, "there is only one NATS server");
                let server = fleet.nats.get_mut(self.server).context("no such server")?;
                server.kill().await?;
                while_it_lasts().await;
                server.start().await
            }
            Fault::RestartS3 => {
                fleet.s3.kill().await?;
                fleet.s3.again().await
            }
            Fault::CutNats | Fault::CutS3 | Fault::CutBoth => {
                let member = fleet.member(victim)?;
                let set = |weather| {
                    if self.fault != Fault::CutS3 {
                        member.nats(weather)?;
                    }
                    if self.fault == Fault::CutNats { Ok(()) } else { member.s3(weather) }
                };
                set(weather)?;
                while_it_lasts().await;
                set(Weather::Fair)
            }
            Fault::FreezeNode => {
                let member = fleet.member(victim)?;
                member.freeze(true)?;
                let name = member.name();
                while fleet.lists(name).await? {
                    tokio::task::yield_now().await;
                }
                fleet.member(victim)?.freeze(false)
            }
            Fault::FreezeOwner => {
                fleet.member(victim)?.freeze(true)?;
                fleet.until_another_owns(victim).await?;
                let member = fleet.member(victim)?;
                member.freeze(false)?;
                let status = member.ended().await?;
                ensure!(
                    status.code().is_some_and(|code| code != 0),
                    "the frozen owner ended with the wrong status: {status}"
                );
                ensure!(member.log().contains("another process owns the jobs now"), "{}", member.log());
                member.start().await
            }
            Fault::FullDisk => {
                let member = fleet.member(victim)?;
                member.fill_disk(true)?;
                let client = member.door().and_then(|door| door.borrow().clone());
                if let Some(client) = &client {
                    let why = client
                        .ready()
                        .await
                        .err()
                        .context("the process is ready although its disk is full")?
                        .to_string();
                    ensure!(
                        why.contains("disk full"),
                        "the process is not ready for another reason than its disk: {why}"
                    );
                }
                let _ = over.wait_for(|over| *over).await;
                fleet.member(victim)?.fill_disk(false)?;
                if let Some(client) = &client {
                    let ready = async {
                        while client.ready().await.is_err() {
                            tokio::task::yield_now().await;
                        }
                    };
                    tokio::time::timeout(READY, ready)
                        .await
                        .context("the process is not ready although its disk has space again")?;
                }
                Ok(())
            }
            Fault::ClockJump => {
                let member = fleet.member(victim)?;
                member.clock(self.ahead_s)?;
                while_it_lasts().await;
                member.clock(0)
            }
            Fault::RoughNetwork => {
                fleet.weather(weather)?;
                let _ = over.wait_for(|over| *over).await;
                fleet.weather(Weather::Fair)
            }
        }
    }
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
