//! The gateway's metrics: names with units, and the handles that requests update.

pub mod plain;
pub mod process;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt::Write as _, time::Duration};

/// Requests answered, by method, route, status and origin.
pub const REQUESTS: &str = "fabric_http_requests";
/// Seconds from the request's head to the response's head, by route and origin.
pub const DURATION_SECONDS: &str = "fabric_http_request_duration_seconds";
/// Requests being answered.
pub const IN_FLIGHT: &str = "fabric_http_requests_in_flight";
/// Open connections.
pub const CONNECTIONS: &str = "fabric_http_connections";

/// The labels of a request.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    route: &'static str,
    status: u32,
    origin: RequestOrigin,
}

/// The sender of a request. A request that is forwarded within the fleet is counted in both processes: in the first as
/// a client's, in the second as a peer's.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
pub enum RequestOrigin {
    /// A client.
    Client,
    /// Another process of the fleet.
    Peer,
}

impl EncodeLabelValue for RequestOrigin {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Client => "client",
            Self::Peer => "peer",
        })
    }
}

/// The labels of a duration.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
    origin: RequestOrigin,
}

/// Handles to the request metrics.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    duration: Family<RouteLabel, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
}

fn buckets() -> Histogram {
    // 100 µs to about 26 s, each bucket twice the previous one.
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.000_1, 2.0, 19))
}

/// Returns the label of a method. Unknown methods share one label, so that a client cannot create labels.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts a request as in flight until it is dropped.
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    /// Creates and registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(buckets as fn() -> Histogram),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        registry.register(REQUESTS, "Requests answered", this.requests.clone());
        registry.register(DURATION_SECONDS, "Seconds to the response's head", this.duration.clone());
        registry.register(IN_FLIGHT, "Requests being answered", this.in_flight.clone());
        registry.register(CONNECTIONS, "Open connections", this.connections.clone());
        this
    }

    /// Counts the beginning of a request.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an answered request.
    pub fn end(&self, method: &http::Method, route: &'static str, origin: RequestOrigin, status: u16, took: Duration) {
        let labels = Labels { method: method_label(method), route, status: u32::from(status), origin };
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&RouteLabel { route, origin }).observe(took.as_secs_f64());
    }
}
