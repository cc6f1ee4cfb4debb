//! The `[storage]` section of the server's configuration file: quotas and retention of data on disk.

use crate::{failure::Failure, times, wrong_settings::WrongSettings};
use fabric_client::settings::Origin;
use fabric_types::units::ByteSize;
use serde::{Deserialize, Deserializer};
use std::{path::Path, time::Duration};

/// Share of a disk that stays free by default: one part in this many.
const FREE_SHARE: u64 = 50;
/// Maximum number of bytes that stay free by default.
const FREE_MOST: u64 = 1 << 30;

/// A duration such as `45s`, `10m`, `2h` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        times::duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The `[storage]` table. Missing keys have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct StorageConfig {
    quota: Option<ByteSize>,
    free: Option<ByteSize>,
    artefacts: Option<ByteSize>,
    logs: Option<ByteSize>,
    logs_of_all: Option<ByteSize>,
    keep_logs: Option<Span>,
    keep_invocations: Option<Span>,
    keep_answers: Option<Span>,
    keep_jobs: Option<Span>,
    keep_results: Option<Span>,
    keep_tokens: Option<Span>,
    sweep_every: Option<Span>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl StorageConfig {
    /// Returns the maximum bytes of a tenant without its own quota. Default 100 GiB.
    pub fn quota(&self) -> u64 {
        self.quota.unwrap_or(ByteSize::gib(100)).0
    }

    /// Returns the bytes that tenants' writes leave free on the disk of this folder. Default 2 % of the disk, at most 1
    /// GiB.
    pub fn free(&self, folder: &Path) -> u64 {
        let usual = || {
            let disk = rustix::fs::statvfs(folder).map_or(u64::MAX, |s| s.f_blocks.saturating_mul(s.f_frsize));
            FREE_MOST.min(disk / FREE_SHARE)
        };
        self.free.map_or_else(usual, |free| free.0)
    }

    /// Returns the maximum bytes of compiled modules on disk. Default 8 GiB.
    pub fn artefacts(&self) -> u64 {
        self.artefacts.unwrap_or(ByteSize::gib(8)).0
    }

    /// Returns the maximum bytes of one tenant's log lines on disk. Default 64 MiB.
    pub fn logs(&self) -> u64 {
        self.logs.unwrap_or(ByteSize::mib(64)).0
    }

    /// Returns the maximum bytes of all tenants' log lines on disk. Default 4 GiB.
    pub fn logs_of_all(&self) -> u64 {
        self.logs_of_all.unwrap_or(ByteSize::gib(4)).0
    }

    /// Returns the age at which log lines are removed. Default 7 days.
    pub fn keep_logs(&self) -> Duration {
        self.keep_logs.map_or(7 * DAY, |span| span.0)
    }

    /// Returns the age at which invocation records are removed. Default 30 days.
    pub fn keep_invocations(&self) -> Duration {
        self.keep_invocations.map_or(30 * DAY, |span| span.0)
    }

    /// Returns the age at which answers stored for an `Idempotency-Key` are removed. Default 1 day.
    pub fn keep_answers(&self) -> Duration {
        self.keep_answers.map_or(DAY, |span| span.0)
    }

    /// Returns the retention of jobs and asynchronous invocations after their end, in the bin or not. Default 30 days.
    pub fn keep_jobs(&self) -> Duration {
        self.keep_jobs.map_or(30 * DAY, |span| span.0)
    }

    /// Returns the retention of results after their last use. Default 30 days, or the retention of jobs if that is
    /// longer.
    pub fn keep_results(&self) -> Duration {
        self.keep_results.map_or((30 * DAY).max(self.keep_jobs()), |span| span.0)
    }

    /// Returns the time for which expired tokens are kept and listed. Default 30 days.
    pub fn keep_tokens(&self) -> Duration {
        self.keep_tokens.map_or(30 * DAY, |span| span.0)
    }

    /// Returns the interval between retention sweeps. Default 10 minutes.
    pub fn sweep_every(&self) -> Duration {
        self.sweep_every.map_or(Duration::from_secs(600), |span| span.0)
    }

    /// Checks the values.
    pub fn check(&self, wrong: &mut WrongSettings) {
        for (name, span) in [
            ("keep-logs", self.keep_logs),
            ("keep-invocations", self.keep_invocations),
            ("keep-answers", self.keep_answers),
            ("keep-jobs", self.keep_jobs),
            ("keep-results", self.keep_results),
            ("keep-tokens", self.keep_tokens),
            ("sweep-every", self.sweep_every),
        ] {
            if span.is_some_and(|span| span.0.is_zero()) {
                let name = format!("storage.{name}");
                wrong.push(&name, Failure::config(format!("{name} is 0: use 1s or more")));
            }
        }
        if self.keep_results() < self.keep_jobs() {
            let failure = Failure::config("storage.keep-results is less than storage.keep-jobs")
                .hint("a job needs its results: set it to at least storage.keep-jobs");
            wrong.push("storage.keep-results", failure);
        }
    }

    /// Returns the name, value and origin of each setting.
    pub fn rows(&self, data: &Path, file: &Origin) -> Vec<(&'static str, String, String)> {
        let row = |name, value: String, set: bool| {
            let origin = if set { file.to_string() } else { Origin::Default.to_string() };
            (name, value, origin)
        };
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let span = times::span;
        vec![
            row("serve.storage.quota", size(self.quota()), self.quota.is_some()),
            row("serve.storage.free", size(self.free(data)), self.free.is_some()),
            row("serve.storage.artefacts", size(self.artefacts()), self.artefacts.is_some()),
            row("serve.storage.logs", size(self.logs()), self.logs.is_some()),
            row("serve.storage.logs-of-all", size(self.logs_of_all()), self.logs_of_all.is_some()),
            row("serve.storage.keep-logs", span(self.keep_logs()), self.keep_logs.is_some()),
            row("serve.storage.keep-invocations", span(self.keep_invocations()), self.keep_invocations.is_some()),
            row("serve.storage.keep-answers", span(self.keep_answers()), self.keep_answers.is_some()),
            row("serve.storage.keep-jobs", span(self.keep_jobs()), self.keep_jobs.is_some()),
            row("serve.storage.keep-results", span(self.keep_results()), self.keep_results.is_some()),
            row("serve.storage.keep-tokens", span(self.keep_tokens()), self.keep_tokens.is_some()),
            row("serve.storage.sweep-every", span(self.sweep_every()), self.sweep_every.is_some()),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<StorageConfig, String> {
        let storage: StorageConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut wrong = WrongSettings::default();
        storage.check(&mut wrong);
        wrong.into_first().map_or(Ok(storage), |failure| Err(failure.message))
    }

    #[test]
    fn every_bound_has_a_default_and_nonsense_is_refused() {
        let usual = read("").unwrap();
        assert_eq!((usual.quota(), usual.keep_jobs(), usual.keep_answers()), (100 << 30, 30 * DAY, DAY));
        let set = read("quota = \"1GiB\"\nkeep-jobs = \"90d\"\nfree = 0").unwrap();
        assert_eq!((set.quota(), set.keep_results(), set.free(Path::new("/"))), (1 << 30, 90 * DAY, 0));
        for (text, said) in [
            ("keep-jobs = \"0s\"", "use 1s or more"),
            ("keep-jobs = \"soon\"", "is not a duration"),
            ("keep-results = \"1d\"", "less than storage.keep-jobs"),
            ("quotas = 1", "unknown field"),
        ] {
            assert!(read(text).unwrap_err().contains(said), "{text}");
        }
    }
}
