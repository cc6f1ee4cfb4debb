//! Metrics of this process's dependencies, updated for each scrape.

use super::{CheckResult, Disk, ReadinessReport};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{path::Path, sync::atomic::AtomicU64};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    dependency: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct In {
    folder: &'static str,
}

/// Handles to the dependency metrics.
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
    /// Creates and registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let help = "1 if the dependency answers, as in /readyz?verbose, else 0";
        registry.register("fabric_dependency_up", help, this.up.clone());
        registry.register("fabric_dependency_check_seconds", "Duration of the last check", this.seconds.clone());
        registry.register("fabric_nodes", "Nodes announced by presence", this.nodes.clone());
        registry.register("fabric_disk_free_bytes", "Free space on the disk of a folder", this.disk_free.clone());
        registry.register("fabric_disk_size_bytes", "Size of the disk of a folder", this.disk_size.clone());
        registry.register("fabric_owns_jobs", "1 if this process owns the jobs, else 0", this.owns_jobs.clone());
        this
    }

    /// Sets the metrics: a report, the number of announced nodes if known, the folders whose disks are measured, and
    /// ownership of the jobs.
    pub fn update(
        &self,
        report: &ReadinessReport,
        nodes: Option<usize>,
        folders: &[(&'static str, &Path)],
        owns_jobs: bool,
    ) {
        for check in &report.checks {
            let of = Of { dependency: check.name };
            self.up.get_or_create(&of).set(i64::from(check.finding == CheckResult::Ok));
            self.seconds.get_or_create(&of).set(check.took.as_secs_f64());
        }
        if let Some(nodes) = nodes {
            self.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
        }
        for &(folder, path) in folders {
            if let Some(disk) = Disk::of(path) {
                self.disk_free.get_or_create(&In { folder }).set(level(disk.free));
                self.disk_size.get_or_create(&In { folder }).set(level(disk.size));
            }
        }
        self.owns_jobs.set(i64::from(owns_jobs));
    }
}
