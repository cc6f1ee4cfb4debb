//! The driver's metrics. Names carry their units.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

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
    pub speculated: Gauge,
    /// Attempts stopped for another tenant's guarantee since this process owns the jobs.
    pub preempted: Gauge,
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
    /// Jobs removed since they ended long ago.
    pub expired_jobs: Counter,
    /// Results removed since nobody used them for long.
    pub expired_results: Counter,
    /// Bytes of all that was removed because it had been kept long enough.
    pub expired_bytes: Counter,
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
        registry.register("fabric_expired_jobs", "Jobs removed after their time", self.expired_jobs.clone());
        registry.register("fabric_expired_results", "Results removed after their time", self.expired_results.clone());
        let help = "Bytes of jobs, results and modules removed after their time";
        registry.register("fabric_expired_bytes", help, self.expired_bytes.clone());
        registry.register("fabric_task_fuel", "Fuel spent by tasks", self.fuel.clone());
    }
}
