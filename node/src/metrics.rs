//! The node's metrics. Their names contain the units.

use fabric_host::Observer;
use fabric_types::{function::EntryKind, storage::StorageKind};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};
use std::sync::{Arc, atomic::AtomicU64};

/// Histogram buckets in seconds, from 2 µs, in steps of about 2.5.
const BUCKETS: [f64; 16] =
    [2e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.5, 10.0, 60.0];

/// The label with the kind of entry or of storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// The labelled metrics as they are registered.
#[derive(Debug, Clone)]
struct Families {
    instantiate: Family<Kind, Histogram, Seconds>,
    call: Family<Kind, Histogram, Seconds>,
    invocations: Family<Kind, Counter>,
    faults: Family<Kind, Counter>,
    storage: Family<Kind, Gauge>,
}

/// The metrics of a node. Clones share the same values.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    instantiate: [Histogram; 3],
    call: [Histogram; 3],
    invocations: [Counter; 3],
    faults: [Counter; 3],
    fuel: Counter,
    gpu_seconds: Counter<f64, AtomicU64>,
    compile: Histogram,
    families: Families,
    /// Tasks waiting for a guest thread.
    pub queued_tasks: Gauge,
    /// Running guests, as of the last [`crate::NodeHandle::refresh_metrics`].
    pub running: Gauge,
    /// Calls waiting for the GPU, as of the last [`crate::NodeHandle::refresh_metrics`].
    pub gpu_queue: Gauge,
    /// Size of the memory account in bytes. This and the two below are as of the last [`crate::NodeHandle::refresh_metrics`].
    pub memory_size: Gauge,
    /// Bytes currently charged.
    pub memory_used: Gauge,
    /// Number of refused charges.
    pub memory_refused: Counter,
    /// Synchronous invocations answered from the cache.
    pub invoke_cache_hits: Counter,
    /// Tasks answered from the cache.
    pub task_cache_hits: Counter,
}

impl Default for NodeMetrics {
    fn default() -> Self {
        let families = Families {
            instantiate: Family::new_with_constructor(Seconds),
            call: Family::new_with_constructor(Seconds),
            invocations: Family::default(),
            faults: Family::default(),
            storage: Family::default(),
        };
        // Resolved once, since every lookup in a family costs a hash and a lock.
        let kinds = ["task", "http", "command"].map(|kind| Kind { kind });
        let each = |family: &Family<Kind, Histogram, Seconds>| kinds.clone().map(|k| family.get_or_create(&k).clone());
        let count = |family: &Family<Kind, Counter>| kinds.clone().map(|k| family.get_or_create(&k).clone());
        Self {
            instantiate: each(&families.instantiate),
            call: each(&families.call),
            invocations: count(&families.invocations),
            faults: count(&families.faults),
            fuel: Counter::default(),
            gpu_seconds: Counter::default(),
            compile: Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0]),
            families,
            queued_tasks: Gauge::default(),
            running: Gauge::default(),
            gpu_queue: Gauge::default(),
            memory_size: Gauge::default(),
            memory_used: Gauge::default(),
            memory_refused: Counter::default(),
            invoke_cache_hits: Counter::default(),
            task_cache_hits: Counter::default(),
        }
    }
}

impl NodeMetrics {
    /// Sets the bytes of one kind stored by all tenants.
    pub(crate) fn stored(&self, kind: StorageKind, bytes: u64) {
        let gauge = self.families.storage.get_or_create(&Kind { kind: kind.as_str() });
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        let Families { instantiate, call, invocations, faults, storage } = self.families.clone();
        registry.register("fabric_instantiate_seconds", "Time to create an instance", instantiate);
        registry.register("fabric_call_seconds", "Time of a guest's call, including instantiation", call);
        registry.register("fabric_invocations", "Guests that ran", invocations);
        registry.register("fabric_guest_faults", "Guests that failed", faults);
        registry.register("fabric_guest_fuel", "Fuel spent by guests", self.fuel.clone());
        registry.register("fabric_gpu_device_seconds", "GPU time of guests", self.gpu_seconds.clone());
        registry.register("fabric_node_gpu_queue", "Calls waiting for the GPU", self.gpu_queue.clone());
        registry.register("fabric_compile_seconds", "Time to compile a module", self.compile.clone());
        registry.register("fabric_storage_bytes", "Bytes stored by all tenants, as counted by this process", storage);
        registry.register("fabric_node_queued_tasks", "Tasks waiting for a guest thread", self.queued_tasks.clone());
        registry.register("fabric_node_running_guests", "Guests running now", self.running.clone());
        registry.register("fabric_memory_size_bytes", "Memory that calls may use", self.memory_size.clone());
        registry.register("fabric_memory_charged_bytes", "Memory charged to calls now", self.memory_used.clone());
        registry.register("fabric_memory_refused", "Memory charges refused", self.memory_refused.clone());
        registry.register(
            "fabric_invoke_cache_hits",
            "Invocations answered from the cache",
            self.invoke_cache_hits.clone(),
        );
        registry.register("fabric_task_cache_hits", "Tasks answered from the cache", self.task_cache_hits.clone());
    }

    /// Returns an observer that records the sandbox's durations in these metrics.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(self.clone())
    }
}

fn at<T>(of: &[T; 3], kind: EntryKind) -> &T {
    let [task, http, command] = of;
    match kind {
        EntryKind::Task => task,
        EntryKind::Http => http,
        EntryKind::Command => command,
    }
}

impl Observer for NodeMetrics {
    fn instantiated(&self, kind: EntryKind, micros: u64) {
        at(&self.instantiate, kind).observe(micros as f64 / 1e6);
    }

    fn called(&self, kind: EntryKind, micros: u64, fuel: u64, ok: bool) {
        at(&self.call, kind).observe(micros as f64 / 1e6);
        at(&self.invocations, kind).inc();
        self.fuel.inc_by(fuel);
        if !ok {
            at(&self.faults, kind).inc();
        }
    }

    fn used_gpu(&self, micros: u64) {
        self.gpu_seconds.inc_by(micros as f64 / 1e6);
    }

    fn compiled(&self, millis: u64) {
        self.compile.observe(millis as f64 / 1e3);
    }
}
