//! Readiness of a process: dependencies, the results of their checks, the last report, and its metrics.
//! [`crate::readiness`] runs the checks.

pub mod metrics;

use async_trait::async_trait;
use fabric_types::units::ByteSize;
use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Lifetime of a report. Clients of `/readyz` need no token, and each check costs requests to the store.
const FRESH: Duration = Duration::from_millis(500);
/// Free bytes below which a disk counts as full: the journal and the index still have to be written.
const LEAST_FREE: u64 = 64 << 20;
/// A small disk counts as full below this fraction (one in a hundred) of its size.
const LEAST_PART: u64 = 100;

/// An external service without which this process cannot serve.
#[async_trait]
pub trait Dependency: Send + Sync + 'static {
    /// Returns a short name, for operators and as a metric label.
    fn name(&self) -> &'static str;

    /// Checks that the dependency answers.
    ///
    /// # Errors
    /// The reason that the dependency is unavailable.
    async fn check(&self) -> Result<(), String>;
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// The dependency works.
    Ok,
    /// The process can serve, with the limitation described here.
    Degraded(String),
    /// The process cannot serve.
    Failed(String),
}

impl From<Result<(), String>> for CheckResult {
    fn from(found: Result<(), String>) -> Self {
        found.map_or_else(Self::Failed, |()| Self::Ok)
    }
}

/// One check of a dependency.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name of the dependency.
    pub name: &'static str,
    /// Result of the check.
    pub finding: CheckResult,
    /// Duration of the check.
    pub took: Duration,
}

/// The results of all checks at one moment.
#[derive(Debug, Clone)]
pub struct ReadinessReport {
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
    pub(crate) at: Instant,
}

impl ReadinessReport {
    /// Returns the reason that the process cannot serve; `None` if it can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let failed = self.checks.iter().filter_map(|check| match &check.finding {
            CheckResult::Failed(why) => Some(why.as_str()),
            CheckResult::Ok | CheckResult::Degraded(_) => None,
        });
        let all: Vec<_> = failed.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Returns a line for each check, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, finding, took } in &self.checks {
            let ms = took.as_secs_f64() * 1000.0;
            let _ = match finding {
                CheckResult::Ok => writeln!(text, "{name}: ok ({ms:.1} ms)"),
                CheckResult::Degraded(why) => writeln!(text, "{name}: degraded: {why}"),
                CheckResult::Failed(why) => writeln!(text, "{name}: failed: {why}"),
            };
        }
        text
    }
}

/// Free space on the disk of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Size in bytes.
    pub size: u64,
    /// `true` if files can still be created.
    has_files: bool,
}

impl Disk {
    /// Measures the disk of a folder. Returns `None` if it cannot be measured.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            size: stat.f_blocks.saturating_mul(stat.f_frsize),
            // Some file systems allocate inodes on demand and report none.
            has_files: stat.f_files == 0 || stat.f_favail > 0,
        })
    }

    pub(crate) fn check(self, what: &str) -> Result<(), String> {
        let least = LEAST_FREE.min(self.size / LEAST_PART);
        if !self.has_files {
            return Err(format!("disk full: no more files can be created on the disk of {what}"));
        }
        if self.free < least {
            let (free, size) = (ByteSize(self.free), ByteSize(self.size));
            return Err(format!("disk full: {free} of {size} are free on the disk of {what}"));
        }
        Ok(())
    }
}

/// The last report, shared by concurrent requests.
#[derive(Debug, Default)]
pub struct Readiness {
    last: tokio::sync::Mutex<Option<Arc<ReadinessReport>>>,
    was_ready: parking_lot::Mutex<Option<bool>>,
}

impl Readiness {
    /// Returns a report that is at most half a second old; `run` makes a new one if needed. Concurrent callers wait for
    /// the same report.
    pub async fn report(&self, run: impl Future<Output = ReadinessReport>) -> Arc<ReadinessReport> {
        let mut last = self.last.lock().await;
        if let Some(report) = last.as_ref().filter(|report| report.at.elapsed() < FRESH) {
            return report.clone();
        }
        let report = Arc::new(run.await);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_before_its_last_byte() {
        let disk = |free, size| Disk { free, size, has_files: true };
        assert_eq!(disk(65 << 20, 1 << 40).check("x"), Ok(()));
        let full = "disk full: 63 MiB of 1024 GiB are free on the disk of x";
        assert_eq!(disk(63 << 20, 1 << 40).check("x"), Err(full.to_owned()));
        // A small disk is full below a hundredth of its size.
        assert_eq!(disk(500 << 10, 48 << 20).check("x"), Ok(()));
        assert!(disk(400 << 10, 48 << 20).check("x").is_err());
        assert!(Disk { has_files: false, ..disk(1 << 30, 1 << 30) }.check("x").is_err());
    }

    #[test]
    fn a_report_names_what_failed_and_why() {
        let check = |name, finding| Check { name, finding, took: Duration::from_micros(1250) };
        let degraded = check("jobs", CheckResult::Degraded("no owner".to_owned()));
        let mut report =
            ReadinessReport { checks: vec![check("store", CheckResult::Ok), degraded], at: Instant::now() };
        assert_eq!(report.problem(), None, "it can serve all the same");
        report.checks.push(check("nats", CheckResult::Failed("silent".to_owned())));
        assert_eq!(report.problem().as_deref(), Some("silent"));
        assert_eq!(report.text(), "store: ok (1.2 ms)\njobs: degraded: no owner\nnats: failed: silent\n");
    }
}
