//! The driver's metrics. Names include their units.

use fabric_types::rest::sweep::{Removed, Sweep};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

/// The driver's metrics. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct DriverMetrics {
    /// Accepted jobs.
    pub jobs_accepted: Counter,
    /// Jobs that have not ended.
    pub jobs_active: Gauge,
    /// Succeeded tasks, including the cached ones.
    pub tasks_succeeded: Counter,
    /// Tasks served from the cache.
    pub tasks_cached: Counter,
    /// Failed attempts.
    pub attempts_failed: Counter,
    /// Second copies of stragglers since this process became the owner.
    pub speculated: Counter,
    /// Attempts stopped by preemption or eviction since this process became the owner.
    pub preempted: Counter,
    /// Results that differ from the one committed under the same key.
    pub results_differing: Counter,
    /// Processes that died while running work.
    pub process_deaths: Counter,
    /// Nodes that became silent without announcing their leave.
    pub nodes_lost: Counter,
    /// Tasks dead-lettered with `process-killed`.
    pub tasks_quarantined: Counter,
    /// Fuel spent by tasks.
    pub fuel: Counter,
    /// Items removed by retention sweeps, by kind.
    expired: Family<Kind, Counter>,
    /// Bytes of these items.
    expired_bytes: Family<Kind, Counter>,
    /// Durations of retention sweeps.
    sweeps: Sweeps,
    /// Commands to the owner, by name.
    commands: Family<CommandName, Counter>,
}

impl DriverMetrics {
    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("fabric_jobs_accepted", "Jobs accepted", self.jobs_accepted.clone());
        registry.register("fabric_jobs_active", "Jobs that have not ended", self.jobs_active.clone());
        registry.register("fabric_tasks_succeeded", "Tasks that succeeded", self.tasks_succeeded.clone());
        registry.register("fabric_tasks_cached", "Tasks served from the cache", self.tasks_cached.clone());
        registry.register("fabric_attempts_failed", "Attempts that failed", self.attempts_failed.clone());
        let help = "Second copies of stragglers since this process became the owner of the jobs";
        registry.register("fabric_attempts_speculated", help, self.speculated.clone());
        let help = "Attempts stopped by preemption or eviction since this process became the owner of the jobs";
        registry.register("fabric_attempts_preempted", help, self.preempted.clone());
        let help = "Results that differ from those committed under the same key";
        registry.register("fabric_results_differing", help, self.results_differing.clone());
        let help = "Processes that died while running work";
        registry.register("fabric_process_deaths", help, self.process_deaths.clone());
        let help = "Nodes that became silent without announcing their leave";
        registry.register("fabric_nodes_lost", help, self.nodes_lost.clone());
        let help = "Tasks dead-lettered because processes died while running them";
        registry.register("fabric_tasks_quarantined", help, self.tasks_quarantined.clone());
        let help = "Items removed because they expired or nothing refers to them, by kind";
        registry.register("fabric_expired", help, self.expired.clone());
        registry.register("fabric_expired_bytes", "Bytes of the removed items, by kind", self.expired_bytes.clone());
        registry.register("fabric_sweep_seconds", "Durations of retention sweeps", self.sweeps.0.clone());
        let help = "Commands to the owner of the jobs, by name";
        registry.register("fabric_driver_commands", help, self.commands.clone());
        registry.register("fabric_task_fuel", "Fuel spent by tasks", self.fuel.clone());
    }

    /// Counts a command to the owner.
    pub(crate) fn count_command(&self, command: &'static str) {
        self.commands.get_or_create(&CommandName { command }).inc();
    }

    /// Counts the items that a sweep removed.
    pub fn swept(&self, swept: &Sweep, took: Duration) {
        for (kind, removed) in swept.kinds() {
            self.expired(kind, removed);
        }
        self.sweeps.0.observe(took.as_secs_f64());
    }

    /// Counts the removed items of one kind.
    pub fn expired(&self, kind: &'static str, removed: Removed) {
        self.expired.get_or_create(&Kind { kind }).inc_by(removed.count);
        self.expired_bytes.get_or_create(&Kind { kind }).inc_by(removed.bytes);
    }
}

/// Label for the kind of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Label for the name of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandName {
    command: &'static str,
}

/// Histogram of sweep durations in seconds, from 10 ms up.
#[derive(Debug, Clone)]
struct Sweeps(Histogram);

impl Default for Sweeps {
    fn default() -> Self {
        Self(Histogram::new([0.01, 0.1, 1.0, 10.0, 60.0, 600.0]))
    }
}
