//! Says that this node is here, and what it offers.

use crate::api::{Shared, now_ms};
use fabric_engine::lane::FromNode;
use fabric_types::rest::node::Node as Facts;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often the node speaks.
const EVERY: Duration = Duration::from_secs(1);
/// Every so many words it says all that it has, too.
const HOLDS: u32 = 4;
/// How long others believe it: several missed words mean that it is gone.
const TTL: Duration = Duration::from_secs(10);

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Facts about this node, now.
pub fn facts(shared: &Shared) -> Facts {
    let stats = shared.host.stats();
    let count = |n: i64| u32::try_from(n).unwrap_or(0);
    Facts {
        id: shared.id.clone(),
        state: "ready".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: shared.host.fingerprint(true).to_owned(),
        cpu_slots: shared.slots,
        running: u32::try_from(stats.live).unwrap_or(u32::MAX),
        queued: count(shared.metrics.queued_tasks.get()),
        memory_bytes: shared.memory_bytes,
        used_bytes: resident_bytes(),
        modules: u32::try_from(stats.disk_hits + stats.compiled).unwrap_or(u32::MAX),
        labels: shared.labels.clone(),
        started_ms: shared.started_ms,
        seen_ms: now_ms(),
    }
}

/// Speaks until `stop`, then says good-bye.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for word in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        let node = shared.id.clone();
        let heartbeat = shared.engine.lanes.report(match word % HOLDS {
            0 => FromNode::Holds { node, attempts: shared.held.all() },
            _ => FromNode::Heartbeat { node },
        });
        if let Err(error) = shared.engine.presence.announce(facts(&shared), TTL).await {
            tracing::warn!(%error, "the node could not announce itself");
        }
        if let Ok(Err(error)) = tokio::time::timeout(EVERY, heartbeat).await {
            tracing::warn!(%error, "a heartbeat was lost");
        }
    }
    if let Err(error) = shared.engine.presence.leave(&shared.id).await {
        tracing::warn!(%error, "the node could not say good-bye");
    }
}
