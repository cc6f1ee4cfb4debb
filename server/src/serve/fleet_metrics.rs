//! Metrics of a fleet's messages and leases, and NATS as a dependency of a process.

use async_trait::async_trait;
use fabric_fleet::Health;
use fabric_gateway::health::Dependency;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge, gauge::Gauge},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::time::Instant;

/// The time of the last renewal of each lease that this process holds. Clones share the times.
#[derive(Debug, Clone, Default)]
pub(super) struct LeaseAges(Arc<Mutex<BTreeMap<&'static str, Instant>>>);

impl LeaseAges {
    /// Records that a lease is held as of `at`.
    pub(super) fn renewed(&self, lease: &'static str, at: Instant) {
        self.0.lock().insert(lease, at);
    }

    /// Records that a lease is not held any more.
    pub(super) fn ended(&self, lease: &'static str) {
        self.0.lock().remove(lease);
    }
}

/// Collects the fleet's counts when the metrics are read.
#[derive(Debug)]
pub(super) struct FleetMetrics {
    pub(super) health: Health,
    pub(super) ages: LeaseAges,
}

impl Collector for FleetMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.health.stats();
        for (name, help, count) in [
            (
                "fabric_fleet_messages_refused",
                "Messages that no process of this fleet sent, or that are duplicates.",
                stats.refused,
            ),
            ("fabric_fleet_messages_lost", "Times that messages arrived faster than they were read.", stats.overflows),
            ("fabric_nats_reconnects", "Reconnections to NATS.", stats.reconnects),
            ("fabric_store_conflicts", "Conditional writes that lost to another process.", stats.races),
        ] {
            let count = ConstCounter::new(count);
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        let connected = ConstGauge::new(i64::from(self.health.is_connected()));
        let help = "1 if the process is connected to NATS, else 0.";
        connected.encode(encoder.encode_descriptor("fabric_nats_connected", help, None, connected.metric_type())?)?;
        let gauges = Family::<[(&str, &str); 1], Gauge<f64, AtomicU64>>::default();
        for (lease, at) in self.ages.0.lock().iter() {
            gauges.get_or_create(&[("lease", *lease)]).set(at.elapsed().as_secs_f64());
        }
        let help = "Seconds since the last renewal of a lease that this process holds.";
        gauges.encode(encoder.encode_descriptor("fabric_lease_age_seconds", help, None, gauges.metric_type())?)
    }
}

/// NATS, which carries work to nodes and their messages to other processes.
pub(super) struct Nats(pub(super) Health);

#[async_trait]
impl Dependency for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn check(&self) -> Result<(), String> {
        if !self.0.is_connected() {
            return Err("not connected to NATS: no work reaches nodes".to_owned());
        }
        self.0.ping().await.map_err(|_| "NATS does not answer: no work reaches nodes".to_owned())
    }
}
