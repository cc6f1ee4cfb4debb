//! The driver's metrics. Names carry their units.

use fabric_types::rest::sweep::{Removed, Sweep};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

/// Counters of the driver. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Jobs that were accepted.
    pub jobs_accepted: Counter,
    /// Jobs that have not ended.
    pub jobs_active: Gauge,
    /// Tasks that ended well, the cached ones included.
    pub tasks_succeeded: Counter,
    /// Of those, served from the cache.
    pub tasks_cached: Counter,
    /// Attempts that failed.
    pub attempts_failed: Counter,
    /// Second copies of stragglers since this process owns the jobs.
    pub speculated: Counter,
    /// Attempts stopped for another tenant's guarantee since this process owns the jobs.
    pub preempted: Counter,
    /// Results that differ from what was committed under the same key.
    pub results_differing: Counter,
    /// Processes that died with work on them.
    pub process_deaths: Counter,
    /// Nodes that fell silent without having said that they leave.
    pub nodes_lost: Counter,
    /// Tasks given up on because processes died with them.
    pub tasks_quarantined: Counter,
    /// Fuel of tasks.
    pub fuel: Counter,
    /// Things removed since they were kept long enough, by kind.
    expired: Family<Kind, Counter>,
    /// Their bytes.
    expired_bytes: Family<Kind, Counter>,
    /// How long sweeps took.
    sweeps: Sweeps,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("fabric_jobs_accepted", "Jobs accepted", self.jobs_accepted.clone());
        registry.register("fabric_jobs_active", "Jobs that have not ended", self.jobs_active.clone());
        registry.register("fabric_tasks_succeeded", "Tasks that ended well", self.tasks_succeeded.clone());
        registry.register("fabric_tasks_cached", "Tasks served from the cache", self.tasks_cached.clone());
        registry.register("fabric_attempts_failed", "Attempts that failed", self.attempts_failed.clone());
        let help = "Second copies of stragglers since this process owns the jobs";
        registry.register("fabric_attempts_speculated", help, self.speculated.clone());
        let help = "Attempts stopped for another tenant's guarantee since this process owns the jobs";
        registry.register("fabric_attempts_preempted", help, self.preempted.clone());
        let help = "Results that differ from those committed under the same key";
        registry.register("fabric_results_differing", help, self.results_differing.clone());
        let help = "Processes that died with work on them";
        registry.register("fabric_process_deaths", help, self.process_deaths.clone());
        let help = "Nodes that fell silent without having said that they leave";
        registry.register("fabric_nodes_lost", help, self.nodes_lost.clone());
        let help = "Tasks given up on because processes died with them";
        registry.register("fabric_tasks_quarantined", help, self.tasks_quarantined.clone());
        let help = "Things removed since they were kept long enough or nothing names them, by kind";
        registry.register("fabric_expired", help, self.expired.clone());
        registry.register("fabric_expired_bytes", "Bytes of what was removed, by kind", self.expired_bytes.clone());
        registry.register("fabric_sweep_seconds", "Sweeps for what was kept long enough", self.sweeps.0.clone());
        registry.register("fabric_task_fuel", "Fuel spent by tasks", self.fuel.clone());
    }

    /// Counts what a sweep removed.
    pub fn swept(&self, swept: &Sweep, took: Duration) {
        for (kind, removed) in swept.kinds() {
            self.expired(kind, removed);
        }
        self.sweeps.0.observe(took.as_secs_f64());
    }

    /// Counts what was removed of one kind.
    pub fn expired(&self, kind: &'static str, removed: Removed) {
        self.expired.get_or_create(&Kind { kind }).inc_by(removed.count);
        self.expired_bytes.get_or_create(&Kind { kind }).inc_by(removed.bytes);
    }
}

/// A kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Seconds of sweeps, from some milliseconds up.
#[derive(Debug, Clone)]
struct Sweeps(Histogram);

impl Default for Sweeps {
    fn default() -> Self {
        Self(Histogram::new([0.01, 0.1, 1.0, 10.0, 60.0, 600.0]))
    }
}
