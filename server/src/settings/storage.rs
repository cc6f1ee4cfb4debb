//! The `[storage]` section of the server's configuration file: quotas and retention of data on disk.

use super::{
    SettingRow,
    invalid::InvalidSettings,
    tables::{SettingsTable, origin},
};
use crate::Error;
use fabric_types::{duration, units::ByteSize};
use serde::{Deserialize, Deserializer};
use std::{path::Path, time::Duration};

/// Share of a disk that stays free by default: one part in this many.
const FREE_SHARE: u64 = 50;
/// Maximum number of bytes that stay free by default.
const FREE_MOST: u64 = 1 << 30;

/// A duration such as `45s`, `10m`, `2h` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Age(Duration);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The `[storage]` table. Missing keys have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct StorageConfig {
    quota: Option<ByteSize>,
    free: Option<ByteSize>,
    artefacts: Option<ByteSize>,
    logs: Option<ByteSize>,
    logs_of_all: Option<ByteSize>,
    keep_logs: Option<Age>,
    keep_invocations: Option<Age>,
    keep_answers: Option<Age>,
    keep_jobs: Option<Age>,
    keep_results: Option<Age>,
    keep_tokens: Option<Age>,
    sweep_every: Option<Age>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl StorageConfig {
    /// Returns the maximum bytes of a tenant without its own quota. Default 100 GiB.
    pub(crate) fn quota(&self) -> u64 {
        self.quota.unwrap_or(ByteSize::gib(100)).0
    }

    /// Returns the bytes that tenants' writes leave free on the disk of this folder. Default 2 % of the disk, at most 1
    /// GiB.
    pub(crate) fn free(&self, folder: &Path) -> u64 {
        let usual = || {
            let disk = rustix::fs::statvfs(folder).map_or(u64::MAX, |s| s.f_blocks.saturating_mul(s.f_frsize));
            FREE_MOST.min(disk / FREE_SHARE)
        };
        self.free.map_or_else(usual, |free| free.0)
    }

    /// Returns the maximum bytes of compiled modules on disk. Default 8 GiB.
    pub(crate) fn artefacts(&self) -> u64 {
        self.artefacts.unwrap_or(ByteSize::gib(8)).0
    }

    /// Returns the maximum bytes of one tenant's log lines on disk. Default 64 MiB.
    pub(crate) fn logs(&self) -> u64 {
        self.logs.unwrap_or(ByteSize::mib(64)).0
    }

    /// Returns the maximum bytes of all tenants' log lines on disk. Default 4 GiB.
    pub(crate) fn logs_of_all(&self) -> u64 {
        self.logs_of_all.unwrap_or(ByteSize::gib(4)).0
    }

    /// Returns the age at which log lines are removed. Default 7 days.
    pub(crate) fn keep_logs(&self) -> Duration {
        self.keep_logs.map_or(7 * DAY, |age| age.0)
    }

    /// Returns the age at which invocation records are removed. Default 30 days.
    pub(crate) fn keep_invocations(&self) -> Duration {
        self.keep_invocations.map_or(30 * DAY, |age| age.0)
    }

    /// Returns the age at which answers stored for an `Idempotency-Key` are removed. Default 1 day.
    pub(crate) fn keep_answers(&self) -> Duration {
        self.keep_answers.map_or(DAY, |age| age.0)
    }

    /// Returns the retention of jobs and asynchronous invocations after their end, in the bin or not. Default 30 days.
    pub(crate) fn keep_jobs(&self) -> Duration {
        self.keep_jobs.map_or(30 * DAY, |age| age.0)
    }

    /// Returns the retention of results after their last use. Default 30 days, or the retention of jobs if that is
    /// longer.
    pub(crate) fn keep_results(&self) -> Duration {
        self.keep_results.map_or((30 * DAY).max(self.keep_jobs()), |age| age.0)
    }

    /// Returns the time for which expired tokens are kept and listed. Default 30 days.
    pub(crate) fn keep_tokens(&self) -> Duration {
        self.keep_tokens.map_or(30 * DAY, |age| age.0)
    }

    /// Returns the interval between retention sweeps. Default 10 minutes.
    pub(crate) fn sweep_every(&self) -> Duration {
        self.sweep_every.map_or(Duration::from_secs(600), |age| age.0)
    }
}

impl SettingsTable for StorageConfig {
    fn check(&self, _: &Path, invalid: &mut InvalidSettings) {
        for (name, age) in [
            ("keep-logs", self.keep_logs),
            ("keep-invocations", self.keep_invocations),
            ("keep-answers", self.keep_answers),
            ("keep-jobs", self.keep_jobs),
            ("keep-results", self.keep_results),
            ("keep-tokens", self.keep_tokens),
            ("sweep-every", self.sweep_every),
        ] {
            if age.is_some_and(|age| age.0.is_zero()) {
                let name = format!("storage.{name}");
                invalid.push(&name, Error::config(format!("{name} is 0: use 1s or more")));
            }
        }
        if self.keep_results() < self.keep_jobs() {
            let error = Error::config("storage.keep-results is less than storage.keep-jobs")
                .hint("a job needs its results: set it to at least storage.keep-jobs");
            invalid.push("storage.keep-results", error);
        }
    }

    fn rows(&self, data: &Path, file: &Path) -> Vec<SettingRow> {
        let row =
            |key: &str, value: String, is_set| SettingRow::new(&format!("storage.{key}"), value, &origin(file, is_set));
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let age = duration::format;
        vec![
            row("quota", size(self.quota()), self.quota.is_some()),
            row("free", size(self.free(data)), self.free.is_some()),
            row("artefacts", size(self.artefacts()), self.artefacts.is_some()),
            row("logs", size(self.logs()), self.logs.is_some()),
            row("logs-of-all", size(self.logs_of_all()), self.logs_of_all.is_some()),
            row("keep-logs", age(self.keep_logs()), self.keep_logs.is_some()),
            row("keep-invocations", age(self.keep_invocations()), self.keep_invocations.is_some()),
            row("keep-answers", age(self.keep_answers()), self.keep_answers.is_some()),
            row("keep-jobs", age(self.keep_jobs()), self.keep_jobs.is_some()),
            row("keep-results", age(self.keep_results()), self.keep_results.is_some()),
            row("keep-tokens", age(self.keep_tokens()), self.keep_tokens.is_some()),
            row("sweep-every", age(self.sweep_every()), self.sweep_every.is_some()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StorageConfig, String> {
        let storage: StorageConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut invalid = InvalidSettings::default();
        storage.check(Path::new(""), &mut invalid);
        invalid.into_first().map_or(Ok(storage), |error| Err(error.message))
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
