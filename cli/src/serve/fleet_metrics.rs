//! Metrics of the messages between processes of a fleet.

use fabric_fleet::Health;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::counter::ConstCounter,
};

/// Reads the fleet's counts when somebody asks for the metrics.
#[derive(Debug)]
pub(super) struct FleetMetrics(pub(super) Health);

impl Collector for FleetMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let refused = ConstCounter::new(self.0.stats().refused);
        let help = "Messages that no process of this fleet sent, or that were heard before";
        let metric = encoder.encode_descriptor("fabric_fleet_messages_refused", help, None, refused.metric_type())?;
        refused.encode(metric)
    }
}
