//! Announces this node and its facts, and sends heartbeats.

use crate::api::{NodeState, now_ms};
use fabric_backend::lane::{ATTEMPT_LEASE, FromNode};
use fabric_types::EngineClass;
use fabric_types::node::{NodeFacts, warm_name};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Interval between announcements and heartbeats.
const EVERY: Duration = Duration::from_secs(1);
/// Validity of an announcement. The node counts as absent after several missed ones.
const TTL: Duration = Duration::from_secs(10);
/// Every n-th heartbeat lists all attempts.
const HOLDS_EVERY: u32 = 4;
/// Time without an accepted heartbeat after which attempts are stopped: one interval and one request timeout before
/// their lease expires.
const GIVE_UP: Duration = ATTEMPT_LEASE.saturating_sub(Duration::from_secs(2));

/// Maximum number of modules announced as held in memory.
const WARM: usize = 64;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn warm(shared: &NodeState) -> Vec<String> {
    // A module can be loaded twice, for calls with and without grants.
    let names: BTreeSet<_> = shared.host.linked_modules(2 * WARM).iter().map(warm_name).collect();
    names.into_iter().take(WARM).collect()
}

/// Returns the current facts about this node.
pub fn facts(shared: &NodeState) -> NodeFacts {
    let stats = shared.host.stats();
    let count = |n: i64| u32::try_from(n).unwrap_or(0);
    let (gpu, gpu_absent) = match shared.host.gpu().facts() {
        Ok(gpu) => (Some(gpu), None),
        Err(why) => (None, Some(why)),
    };
    NodeFacts {
        id: shared.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: shared.host.fingerprint(EngineClass::Deterministic).to_owned(),
        cpu_slots: shared.slots,
        running: u32::try_from(stats.live).unwrap_or(u32::MAX),
        queued: count(shared.metrics.queued_tasks.get()),
        memory_bytes: shared.offered.memory_bytes,
        used_bytes: resident_bytes(),
        modules: u32::try_from(stats.disk_hits + stats.compiled).unwrap_or(u32::MAX),
        gpus: shared.offered.gpus,
        gpu_model: shared.offered.gpu_model.clone(),
        gpu,
        gpu_absent,
        speed: shared.offered.speed(),
        accepts: shared.offered.accepts.clone(),
        labels: shared.offered.labels.clone(),
        leaving: *shared.leaving.borrow(),
        url: shared.url.clone(),
        warm: warm(shared),
        started_ms: shared.started_ms,
        epoch: shared.epoch,
        seen_ms: now_ms(),
    }
}

/// Announces the node until `stop` is cancelled, then withdraws the announcement.
pub async fn run(shared: Arc<NodeState>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut leaving = shared.leaving.subscribe();
    let mut renewed = Instant::now();
    for count in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => break,
            // Another process has the lane, and with it the name, so this process announces nothing any more and does
            // not withdraw.
            () = shared.lane_closed.cancelled() => return,
            _ = leaving.changed() => {}
            _ = tick.tick() => {}
        }
        let node = shared.id.clone();
        let message = if count % HOLDS_EVERY == 0 {
            FromNode::HeldAttempts { node, attempts: shared.holding.list() }
        } else {
            FromNode::Heartbeat { node }
        };
        let asked = Instant::now();
        let (announced, heard) = tokio::join!(
            timeout(EVERY, shared.backend.presence.announce(facts(&shared), TTL)),
            timeout(EVERY, shared.backend.lanes.report(message)),
        );
        if let Ok(Err(error)) = announced {
            tracing::warn!(%error, "failed to announce the node");
        }
        match heard {
            Ok(Ok(())) => renewed = asked,
            Ok(Err(error)) => tracing::warn!(%error, "failed to send a heartbeat"),
            Err(_) => {}
        }
        if renewed.elapsed() >= GIVE_UP {
            renewed = Instant::now();
            let attempts = shared.holding.len();
            if attempts > 0 {
                tracing::warn!(attempts, "no heartbeat was accepted within the attempt lease, stopping all attempts");
                shared.lapsed.notify_one();
            }
        }
    }
    if let Err(error) = shared.backend.presence.leave(&shared.id).await {
        tracing::warn!(%error, "failed to withdraw the node's announcement");
    }
}
