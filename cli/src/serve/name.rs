//! The process's name in the fleet. One process at a time has it, under a lease in the object store; a second one that is
//! started with the same name is refused.
//!
//! A process that was killed and comes back does not wait for its own lease: the lease says which data folder, process id
//! and run of the machine its holder has, so a newcomer on the same machine knows that the holder has ended. Otherwise it
//! waits until the lease has not been renewed for its whole time.

use super::{fault, fleet_metrics::Leases, internal};
use crate::{failure::Failure, serve_config::ServeConfig};
use fabric_engine::{Engine, lease::Lease};
use fabric_types::{Code, id::NodeId};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, os::unix::fs::MetadataExt as _, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a name belongs to a holder that is not heard of and may be on another machine.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a newcomer looks at a name that another process has.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was asked for, else a name that is made once and kept in the data folder.
pub(super) fn chosen(config: &ServeConfig) -> Result<NodeId, Failure> {
    if let Some(name) = &config.name {
        return NodeId::new(&name.value).map_err(|e| Failure::config(format!("name, from {}: {e}", name.origin)));
    }
    let path = config.data.value.join("name");
    if let Ok(kept) = std::fs::read_to_string(&path) {
        return NodeId::new(kept.trim()).map_err(|e| Failure::config(format!("{}: {e}", path.display())));
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| internal("making a name", e))?;
    let name =
        NodeId::new(format!("n-{:08x}", u32::from_be_bytes(random))).map_err(|e| internal("making a name", e))?;
    std::fs::write(&path, name.as_str()).map_err(|e| Failure::io(path.display(), e))?;
    Ok(name)
}

/// A process that has a name, as the lease describes it to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    url: String,
    host: String,
    pid: u32,
    /// The data folder.
    data: String,
    /// When the process began, in ticks since the machine did: process ids are used again.
    began: u64,
    /// The run of the machine.
    boot: String,
    /// The namespace in which `pid` is one.
    pids: String,
    /// Device and file number of the data folder's lock.
    lock: (u64, u64),
    /// Tells two processes apart that are alike in everything else.
    nonce: u64,
}

/// What one process can tell of another.
#[derive(Debug, PartialEq, Eq)]
enum Life {
    Runs,
    Ended,
    /// It is on another machine, or in a container of its own.
    Unknown,
}

/// When a process began, in ticks; none where there is no such process, or only its remains.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

impl Holder {
    /// This process; `lock` is its data folder's.
    pub(super) fn new(url: &str, data: &std::path::Path, lock: &File) -> Result<Self, Failure> {
        let about = lock.metadata().map_err(|e| Failure::io(data.display(), e))?;
        let pid = std::process::id();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pids = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string());
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| internal("drawing a number", e))?;
        Ok(Self {
            url: url.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            data: data.display().to_string(),
            began: began(pid).unwrap_or_default(),
            boot: boot.trim().to_owned(),
            pids: pids.unwrap_or_default(),
            lock: (about.dev(), about.ino()),
            nonce: u64::from_be_bytes(nonce),
        })
    }

    /// Whether `other` still runs. This process has the lock of its own data folder.
    fn life_of(&self, other: &Self) -> Life {
        if self.boot.is_empty() || self.boot != other.boot {
            return Life::Unknown;
        }
        if self.lock == other.lock {
            return Life::Ended;
        }
        if self.pids.is_empty() || self.pids != other.pids {
            return Life::Unknown;
        }
        if began(other.pid) == Some(other.began) { Life::Runs } else { Life::Ended }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {} on {}, data folder {}", self.url, self.pid, self.host, self.data)
    }
}

/// Names the holder of a lease.
fn shown(lease: &Lease) -> String {
    serde_json::from_str::<Holder>(&lease.holder).map_or_else(|_| lease.holder.clone(), |holder| holder.to_string())
}

fn taken(name: &NodeId, lease: &Lease) -> Failure {
    Failure::coded(Code::Conflict, format!("another process of the fleet has the name {name}: {}", shown(lease))).hint(
        "give this process a name of its own with --name, or stop the other one first. A data folder that was copied brings \
         the other's name along: remove the file `name` in it",
    )
}

/// A name that this process has. It is renewed until this is dropped.
pub(super) struct Name {
    engine: Engine,
    lease: Lease,
    id: NodeId,
    lost: CancellationToken,
    _renewing: DropGuard,
}

impl Name {
    /// Takes a name. Waits where its holder may have been killed on another machine.
    ///
    /// # Errors
    /// `conflict` when a process that runs has it; the store's fault.
    pub(super) async fn take(engine: &Engine, id: &NodeId, me: &Holder, leases: &Leases) -> Result<Self, Failure> {
        let key = format!("names/{id}");
        let holder = serde_json::to_string(me).map_err(|e| internal("describing this process", e))?;
        let mut first: Option<String> = None;
        loop {
            let won = engine.leases.acquire(&key, &holder, LEASE).await.map_err(|e| fault(e.into()))?;
            if let Some(lease) = won {
                return Ok(Self::hold(engine, id, lease, leases));
            }
            let Some(held) = engine.leases.look(&key).await.map_err(|e| fault(e.into()))? else { continue };
            let other = serde_json::from_str(&held.lease.holder).ok();
            match other.map_or(Life::Unknown, |other| me.life_of(&other)) {
                Life::Runs => return Err(taken(id, &held.lease)),
                Life::Ended => {
                    let won = engine.leases.take_over(&held, &holder, LEASE).await.map_err(|e| fault(e.into()))?;
                    if let Some(lease) = won {
                        return Ok(Self::hold(engine, id, lease, leases));
                    }
                }
                Life::Unknown => match &first {
                    Some(seen) if *seen != held.version => return Err(taken(id, &held.lease)),
                    Some(_) => sleep(LOOK_EVERY).await,
                    None => {
                        tracing::warn!(
                            name = %id, holder = shown(&held.lease), at_most_s = LEASE.as_secs(),
                            "the name was not given up by its last holder; waiting until it counts as ended"
                        );
                        first = Some(held.version);
                    }
                },
            }
        }
    }

    fn hold(engine: &Engine, id: &NodeId, lease: Lease, held: &Leases) -> Self {
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let (leases, mine, tell, stopped) = (engine.leases.clone(), lease.clone(), lost.clone(), stop.clone());
        let held = held.clone();
        held.renewed("name", Instant::now());
        let renew = async move {
            let mut every = interval(RENEW_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut renewed = Instant::now();
            loop {
                every.tick().await;
                let begun = Instant::now();
                match leases.renew(&mine, LEASE).await {
                    Ok(()) => {
                        renewed = begun;
                        held.renewed("name", begun);
                    }
                    Err(fabric_engine::Error::LeaseLost { .. }) => break,
                    // While the store is away nobody can take the name either.
                    Err(error) => {
                        let since_s = renewed.elapsed().as_secs();
                        tracing::warn!(%error, since_s, "the lease on the process's name was not renewed");
                    }
                }
            }
            held.ended("name");
            tell.cancel();
        };
        tokio::spawn(async move { stopped.run_until_cancelled(renew).await });
        Self { engine: engine.clone(), lease, id: id.clone(), lost, _renewing: stop.drop_guard() }
    }

    /// The name.
    pub(super) fn id(&self) -> &NodeId {
        &self.id
    }

    /// Number of this process among those that have had the name.
    pub(super) fn epoch(&self) -> u64 {
        self.lease.epoch
    }

    /// Resolves when another process has taken the name. Cancel safe.
    pub(super) async fn lost(&self) -> Failure {
        self.lost.cancelled().await;
        let held = self.engine.leases.look(&self.lease.name).await.ok().flatten();
        let by = held.map(|held| format!(": {}", shown(&held.lease))).unwrap_or_default();
        Failure::coded(Code::Conflict, format!("another process of the fleet has the name {} now{by}", self.id)).hint(
            "this one was frozen or cut off from the store for longer than its lease; start it again once the other one is \
             stopped, or with a --name of its own",
        )
    }

    /// Lets another process have the name at once.
    pub(super) async fn give_up(self) {
        let Self { engine, lease, id, _renewing, .. } = self;
        drop(_renewing);
        if let Err(error) = engine.leases.release(&lease).await {
            tracing::warn!(name = %id, %error, "the process's name was not given up");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn holder() -> (tempfile::TempDir, Holder) {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        let holder = Holder::new("http://127.0.0.1:8080", folder.path(), &lock).unwrap();
        (folder, holder)
    }

    #[test]
    fn a_holder_on_the_same_machine_is_known_to_run_or_to_have_ended() {
        let ((_one, me), (_other, other)) = (holder(), holder());
        assert_eq!(me.life_of(&other), Life::Runs, "this very process, with another folder");
        // Another process has had its id since.
        assert_eq!(me.life_of(&Holder { began: other.began + 1, ..other.clone() }), Life::Ended);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        assert!(child.wait().unwrap().success());
        assert_eq!(me.life_of(&Holder { pid, ..other.clone() }), Life::Ended);
        // Whoever has the folder's lock knows that nobody else uses the folder.
        assert_eq!(me.life_of(&Holder { lock: me.lock, pids: "elsewhere".to_owned(), ..other.clone() }), Life::Ended);
        assert_eq!(me.life_of(&Holder { pids: "elsewhere".to_owned(), ..other.clone() }), Life::Unknown);
        assert_eq!(me.life_of(&Holder { boot: "elsewhere".to_owned(), lock: me.lock, ..other }), Life::Unknown);
    }
}
