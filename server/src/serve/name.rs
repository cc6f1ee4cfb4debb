//! The process's name in the fleet. One process at a time holds it, under a lease in the object store. A second process
//! with the same name is refused.
//!
//! A process that restarts after a kill does not wait for its own lease: the lease records the data folder, process id
//! and boot of its holder, so a new process on the same machine can detect that the holder has ended. Otherwise it
//! waits for the duration of the lease without a renewal.

use super::fleet_metrics::LeaseAges;
use crate::{Error, background::BackgroundTask, settings::ServeConfig};
use fabric_backend::{Backend, lease::Lease};
use fabric_types::{Code, id::NodeId};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, os::unix::fs::MetadataExt as _, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// Duration of the lease: the time for which a silent holder, which may be on another machine, keeps its name.
const LEASE: Duration = Duration::from_secs(15);
/// Interval between renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Interval at which a new process checks a name that another process holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Returns the configured name, else a random one that is generated once and stored in the data folder.
pub(super) fn resolve_name(config: &ServeConfig) -> Result<NodeId, Error> {
    if let Some(name) = &config.name {
        return NodeId::new(&name.value).map_err(|e| Error::config(format!("name, from {}: {e}", name.origin)));
    }
    let path = config.data.value.join("name");
    if let Ok(kept) = std::fs::read_to_string(&path) {
        return NodeId::new(kept.trim()).map_err(|e| Error::config(format!("{}: {e}", path.display())));
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| Error::internal("generating a name", e))?;
    let name = NodeId::new(format!("n-{:08x}", u32::from_be_bytes(random)))
        .map_err(|e| Error::internal("generating a name", e))?;
    std::fs::write(&path, name.as_str()).map_err(|e| Error::io(path.display(), e))?;
    Ok(name)
}

/// A process that holds a name, as the lease describes it to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    url: String,
    host: String,
    pid: u32,
    /// The data folder.
    data: String,
    /// Start time of the process, in clock ticks since boot, because process ids are reused.
    start_ticks: u64,
    /// Boot id of the machine.
    boot: String,
    /// The PID namespace of `pid`.
    pids: String,
    /// Device and inode of the data folder's lock.
    lock: (u64, u64),
    /// Distinguishes two processes that are equal in every other field.
    nonce: u64,
}

/// The state of one process, as another can detect it.
#[derive(Debug, PartialEq, Eq)]
enum ProcessLiveness {
    Running,
    Ended,
    /// It is on another machine, or in another container.
    Unknown,
}

/// Returns the start time of a process in clock ticks since boot; `None` if there is no such process or it is a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may contain any character.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

impl Holder {
    /// Describes this process; `lock` is the lock of its data folder.
    pub(super) fn new(url: &str, data: &std::path::Path, lock: &File) -> Result<Self, Error> {
        let about = lock.metadata().map_err(|e| Error::io(data.display(), e))?;
        let pid = std::process::id();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pids = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string());
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| Error::internal("generating a nonce", e))?;
        Ok(Self {
            url: url.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            data: data.display().to_string(),
            start_ticks: start_ticks(pid).unwrap_or_default(),
            boot: boot.trim().to_owned(),
            pids: pids.unwrap_or_default(),
            lock: (about.dev(), about.ino()),
            nonce: u64::from_be_bytes(nonce),
        })
    }

    /// Returns the state of `other`. This process holds the lock of its own data folder.
    fn liveness_of(&self, other: &Self) -> ProcessLiveness {
        if self.boot.is_empty() || self.boot != other.boot {
            return ProcessLiveness::Unknown;
        }
        if self.lock == other.lock {
            return ProcessLiveness::Ended;
        }
        if self.pids.is_empty() || self.pids != other.pids {
            return ProcessLiveness::Unknown;
        }
        if start_ticks(other.pid) == Some(other.start_ticks) {
            ProcessLiveness::Running
        } else {
            ProcessLiveness::Ended
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {} on {}, data folder {}", self.url, self.pid, self.host, self.data)
    }
}

/// Formats the holder of a lease for messages.
fn format_holder(lease: &Lease) -> String {
    serde_json::from_str::<Holder>(&lease.holder).map_or_else(|_| lease.holder.clone(), |holder| holder.to_string())
}

fn taken(name: &NodeId, lease: &Lease) -> Error {
    Error::coded(Code::Conflict, format!("another process of the fleet has the name {name}: {}", format_holder(lease))).hint(
        "give this process a name of its own with --name, or stop the other one first. A data folder that was copied brings \
         the other's name along: remove the file `name` in it",
    )
}

/// A name that this process holds. Its lease is renewed until this value is dropped.
pub(super) struct Name {
    backend: Backend,
    lease: Lease,
    id: NodeId,
    lost: CancellationToken,
    renewing: BackgroundTask,
}

impl Name {
    /// Acquires a name. Waits if its holder may have been killed on another machine.
    ///
    /// # Errors
    /// `conflict` if a running process holds it; the store's fault.
    pub(super) async fn acquire(backend: &Backend, id: &NodeId, me: &Holder, ages: &LeaseAges) -> Result<Self, Error> {
        let key = format!("names/{id}");
        let holder = serde_json::to_string(me).map_err(|e| Error::internal("describing this process", e))?;
        let mut first: Option<String> = None;
        loop {
            let won = backend.leases.acquire(&key, &holder, LEASE).await?;
            if let Some(lease) = won {
                return Ok(Self::hold(backend, id, lease, ages));
            }
            let Some(held) = backend.leases.get(&key).await? else { continue };
            let other = serde_json::from_str(&held.lease.holder).ok();
            match other.map_or(ProcessLiveness::Unknown, |other| me.liveness_of(&other)) {
                ProcessLiveness::Running => return Err(taken(id, &held.lease)),
                ProcessLiveness::Ended => {
                    let won = backend.leases.take_over(&held, &holder, LEASE).await?;
                    if let Some(lease) = won {
                        return Ok(Self::hold(backend, id, lease, ages));
                    }
                }
                ProcessLiveness::Unknown => match &first {
                    Some(seen) if *seen != held.version => return Err(taken(id, &held.lease)),
                    Some(_) => sleep(LOOK_EVERY).await,
                    None => {
                        tracing::warn!(
                            name = %id, holder = format_holder(&held.lease), at_most_s = LEASE.as_secs(),
                            "the name was not released by its last holder; waiting for its lease to expire"
                        );
                        first = Some(held.version);
                    }
                },
            }
        }
    }

    fn hold(backend: &Backend, id: &NodeId, lease: Lease, ages: &LeaseAges) -> Self {
        let lost = CancellationToken::new();
        let (leases, mine, report_loss) = (backend.leases.clone(), lease.clone(), lost.clone());
        let ages = ages.clone();
        ages.renewed("name", Instant::now());
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
                        ages.renewed("name", begun);
                    }
                    Err(fabric_backend::Error::LeaseLost { .. }) => break,
                    // While the store is unavailable, no other process can take the name either.
                    Err(error) => {
                        let since_s = renewed.elapsed().as_secs();
                        tracing::warn!(%error, since_s, "the lease on the process's name was not renewed");
                    }
                }
            }
            ages.ended("name");
            report_loss.cancel();
        };
        let renewing = BackgroundTask::spawn(renew);
        Self { backend: backend.clone(), lease, id: id.clone(), lost, renewing }
    }

    /// Returns the name.
    pub(super) fn id(&self) -> &NodeId {
        &self.id
    }

    /// Returns the epoch of the lease: the number of this process among the holders of the name.
    pub(super) fn epoch(&self) -> u64 {
        self.lease.epoch
    }

    /// Resolves when another process has taken the name. Cancel safe.
    pub(super) async fn lost(&self) -> Error {
        self.lost.cancelled().await;
        let held = self.backend.leases.get(&self.lease.name).await.ok().flatten();
        let by = held.map(|held| format!(": {}", format_holder(&held.lease))).unwrap_or_default();
        Error::coded(Code::Conflict, format!("another process of the fleet has the name {} now{by}", self.id)).hint(
            "this one was frozen or cut off from the store for longer than its lease; start it again once the other one is \
             stopped, or with a --name of its own",
        )
    }

    /// Releases the name, so that another process can take it at once.
    pub(super) async fn release(self) {
        let Self { backend, lease, id, renewing, .. } = self;
        renewing.stop().await;
        if let Err(error) = backend.leases.release(&lease).await {
            tracing::warn!(name = %id, %error, "the process's name was not released");
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(me.liveness_of(&other), ProcessLiveness::Running, "this very process, with another folder");
        // Another process has reused its id.
        assert_eq!(
            me.liveness_of(&Holder { start_ticks: other.start_ticks + 1, ..other.clone() }),
            ProcessLiveness::Ended
        );
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        assert!(child.wait().unwrap().success());
        assert_eq!(me.liveness_of(&Holder { pid, ..other.clone() }), ProcessLiveness::Ended);
        // No other process uses the folder while this one holds its lock.
        assert_eq!(
            me.liveness_of(&Holder { lock: me.lock, pids: "elsewhere".to_owned(), ..other.clone() }),
            ProcessLiveness::Ended
        );
        assert_eq!(me.liveness_of(&Holder { pids: "elsewhere".to_owned(), ..other.clone() }), ProcessLiveness::Unknown);
        assert_eq!(
            me.liveness_of(&Holder { boot: "elsewhere".to_owned(), lock: me.lock, ..other }),
            ProcessLiveness::Unknown
        );
    }
}
