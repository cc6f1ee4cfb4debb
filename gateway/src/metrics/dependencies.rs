//! What this process needs, as it was found when the metrics were asked for.

use crate::{
    health::{self, Disk, Finding},
    state::App,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    dependency: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct In {
    folder: &'static str,
}

/// Handles on them.
#[derive(Clone, Default)]
pub struct DependencyMetrics {
    up: Family<Of, Gauge>,
    seconds: Family<Of, Gauge<f64, AtomicU64>>,
    nodes: Gauge,
    disk_free: Family<In, Gauge>,
    disk_size: Family<In, Gauge>,
    owns_jobs: Gauge,
}

fn level(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl DependencyMetrics {
    /// Makes and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let help = "Whether what this process needs answers, as /readyz?verbose lists it";
        registry.register("fabric_dependency_up", help, this.up.clone());
        registry.register("fabric_dependency_check_seconds", "How long the last look took", this.seconds.clone());
        registry.register("fabric_nodes", "Nodes that this process hears of", this.nodes.clone());
        registry.register("fabric_disk_free_bytes", "Room on the disk of a folder", this.disk_free.clone());
        registry.register("fabric_disk_size_bytes", "Size of the disk of a folder", this.disk_size.clone());
        registry.register("fabric_owns_jobs", "Whether this process owns the jobs", this.owns_jobs.clone());
        this
    }

    /// Looks at everything. Call it before the metrics are read.
    pub async fn refresh(&self, app: &App) {
        for check in &app.health.report(app).await.checks {
            let of = Of { dependency: check.name };
            self.up.get_or_create(&of).set(i64::from(check.finding == Finding::Ok));
            self.seconds.get_or_create(&of).set(check.took.as_secs_f64());
        }
        if let Ok(nodes) = app.services.engine.presence.list().await {
            self.nodes.set(i64::try_from(nodes.len()).unwrap_or(i64::MAX));
        }
        for (folder, path) in health::folders(app) {
            if let Some(disk) = Disk::of(&path) {
                self.disk_free.get_or_create(&In { folder }).set(level(disk.free));
                self.disk_size.get_or_create(&In { folder }).set(level(disk.size));
            }
        }
        self.owns_jobs.set(i64::from(app.owns()));
    }
}
