//! Whether this process can serve: what it needs, looked at one by one, for `/readyz` and the metrics.

use crate::state::App;
use async_trait::async_trait;
use fabric_types::units::ByteSize;
use futures::future::BoxFuture;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long one look may take. Shorter than clients and probes usually wait for the answer.
const LIMIT: Duration = Duration::from_millis(1500);
/// How long a report is good for: whoever asks need not be known, and each look costs requests to the store.
const FRESH: Duration = Duration::from_millis(500);
/// Room below which a disk counts as full: journal and index still have to be written.
const LEAST_FREE: u64 = 64 << 20;
/// The same as a part of a small disk.
const LEAST_PART: u64 = 100;

/// Something outside of this process without which it can't serve.
#[async_trait]
pub trait Dependency: Send + Sync + 'static {
    /// A short name, for operators and as a metric's label.
    fn name(&self) -> &'static str;

    /// Looks whether it answers.
    ///
    /// # Errors
    /// Why it is of no use now.
    async fn check(&self) -> Result<(), String>;
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is well.
    Ok,
    /// It limits what this process can do, and the process can serve all the same.
    Degraded(String),
    /// The process can't serve.
    Failed(String),
}

impl From<Result<(), String>> for Finding {
    fn from(found: Result<(), String>) -> Self {
        found.map_or_else(Self::Failed, |()| Self::Ok)
    }
}

/// One look.
#[derive(Debug, Clone)]
pub struct Check {
    /// At what.
    pub name: &'static str,
    /// What was found.
    pub finding: Finding,
    /// How long it took.
    pub took: Duration,
}

/// All looks at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// In a fixed order.
    pub checks: Vec<Check>,
    at: Instant,
}

impl Report {
    /// Why the process can't serve; none when it can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let failed = self.checks.iter().filter_map(|check| match &check.finding {
            Finding::Failed(why) => Some(why.as_str()),
            Finding::Ok | Finding::Degraded(_) => None,
        });
        let all: Vec<_> = failed.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// A line for each check, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, finding, took } in &self.checks {
            let ms = took.as_secs_f64() * 1000.0;
            let _ = match finding {
                Finding::Ok => writeln!(text, "{name}: ok ({ms:.1} ms)"),
                Finding::Degraded(why) => writeln!(text, "{name}: degraded: {why}"),
                Finding::Failed(why) => writeln!(text, "{name}: failed: {why}"),
            };
        }
        text
    }
}

/// Room on the disk of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Whether files can still be made.
    has_files: bool,
}

impl Disk {
    /// Measures the disk of a folder; none where it can't be measured.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            size: stat.f_blocks.saturating_mul(stat.f_frsize),
            // Some file systems make room for files as they need it, and have none to count.
            has_files: stat.f_files == 0 || stat.f_favail > 0,
        })
    }

    fn check(self, what: &str) -> Result<(), String> {
        let least = LEAST_FREE.min(self.size / LEAST_PART);
        if !self.has_files {
            return Err(format!("disk full: no more files can be made on the disk of {what}"));
        }
        if self.free < least {
            let (free, size) = (ByteSize(self.free), ByteSize(self.size));
            return Err(format!("disk full: {free} of {size} are free on the disk of {what}"));
        }
        Ok(())
    }
}

/// The last report, shared by all who ask.
#[derive(Debug, Default)]
pub struct Health {
    last: tokio::sync::Mutex<Option<Arc<Report>>>,
    was_ready: parking_lot::Mutex<Option<bool>>,
}

impl Health {
    /// A report that is no older than half a second. Whoever asks meanwhile waits for the same one.
    pub async fn report(&self, app: &App) -> Arc<Report> {
        let mut last = self.last.lock().await;
        if let Some(report) = last.as_ref().filter(|report| report.at.elapsed() < FRESH) {
            return report.clone();
        }
        let report = Arc::new(look(app).await);
        *last = Some(report.clone());
        let problem = report.problem();
        if self.was_ready.lock().replace(problem.is_none()) != Some(problem.is_none()) {
            match problem {
                Some(problem) => tracing::warn!(problem, "not ready"),
                None => tracing::debug!("ready"),
            }
        }
        report
    }
}

/// Whether this process itself wants no more requests; known without looking at anything else.
#[must_use]
pub fn is_ending(app: &App) -> Option<&'static str> {
    if app.stopping.is_cancelled() {
        return Some("the server is stopping");
    }
    (app.leaving.is_cancelled() || app.services.node.is_leaving())
        .then_some("the process is leaving; what is under way ends here")
}

async fn within(what: &str, look: impl Future<Output = Result<(), String>>) -> Finding {
    match tokio::time::timeout(LIMIT, look).await {
        Ok(found) => found.into(),
        Err(_) => Finding::Failed(format!("{what} does not answer within {} s", LIMIT.as_secs_f64())),
    }
}

async fn nodes(app: &App) -> Finding {
    match app.services.engine.presence.list().await {
        Ok(nodes) if nodes.iter().any(|node| !node.leaving) => Finding::Ok,
        Ok(_) => Finding::Failed("no node is heard of: calls and tasks have nowhere to run".to_owned()),
        Err(_) => Finding::Failed("it is not known which nodes there are".to_owned()),
    }
}

async fn look(app: &App) -> Report {
    let services = &app.services;
    let mut looks: Vec<(&'static str, BoxFuture<'_, Finding>)> = vec![
        ("process", Box::pin(async { is_ending(app).map_or(Finding::Ok, |why| Finding::Failed(why.to_owned())) })),
        (
            "node",
            Box::pin(async {
                let closed = || Finding::Failed("the node gets no work: its lane is closed".to_owned());
                if services.node.is_ready() { Finding::Ok } else { closed() }
            }),
        ),
        (
            "registry",
            Box::pin(within("the registry", async {
                let found = services.engine.registry.get("sys/ready").await;
                found.map(drop).map_err(|e| format!("the registry does not answer: {}", e.code()))
            })),
        ),
        (
            "store",
            Box::pin(within("the object store", async {
                let found = services.store.check().await;
                found.map_err(|e| format!("the object store does not answer: {}", e.code()))
            })),
        ),
        (
            "disk",
            Box::pin(async {
                Disk::of(&services.data_dir).map_or(Ok(()), |disk| disk.check("the data folder")).into()
            }),
        ),
    ];
    for dependency in &services.dependencies {
        looks.push((dependency.name(), Box::pin(within(dependency.name(), dependency.check()))));
    }
    if let Some(peers) = &services.peers {
        looks.push(("nodes", Box::pin(nodes(app))));
        let known = app.owns() || peers.knows_owner();
        let waiting = "no process owns the jobs: requests about jobs wait for one";
        let finding = if known { Finding::Ok } else { Finding::Degraded(waiting.to_owned()) };
        looks.push(("jobs", Box::pin(std::future::ready(finding))));
    }
    let checks = looks.into_iter().map(|(name, look)| async move {
        let began = Instant::now();
        let finding = look.await;
        Check { name, finding, took: began.elapsed() }
    });
    Report { checks: futures::future::join_all(checks).await, at: Instant::now() }
}

/// Folders whose disks are measured: the data folder's.
#[must_use]
pub fn folders(app: &App) -> [(&'static str, PathBuf); 1] {
    [("data", app.services.data_dir.clone())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_before_its_last_byte() {
        let disk = |free, size| Disk { free, size, has_files: true };
        assert_eq!(disk(65 << 20, 1 << 40).check("x"), Ok(()));
        let full = "disk full: 63 MiB of 1024 GiB are free on the disk of x";
        assert_eq!(disk(63 << 20, 1 << 40).check("x"), Err(full.to_owned()));
        // A small one: a hundredth of it.
        assert_eq!(disk(500 << 10, 48 << 20).check("x"), Ok(()));
        assert!(disk(400 << 10, 48 << 20).check("x").is_err());
        assert!(Disk { has_files: false, ..disk(1 << 30, 1 << 30) }.check("x").is_err());
    }

    #[test]
    fn a_report_names_what_failed_and_why() {
        let check = |name, finding| Check { name, finding, took: Duration::from_micros(1250) };
        let degraded = check("jobs", Finding::Degraded("no owner".to_owned()));
        let mut report = Report { checks: vec![check("store", Finding::Ok), degraded], at: Instant::now() };
        assert_eq!(report.problem(), None, "it can serve all the same");
        report.checks.push(check("nats", Finding::Failed("silent".to_owned())));
        assert_eq!(report.problem().as_deref(), Some("silent"));
        assert_eq!(report.text(), "store: ok (1.2 ms)\njobs: degraded: no owner\nnats: failed: silent\n");
    }
}
