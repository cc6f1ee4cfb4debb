//! Says that this node is here, and what it offers.

use crate::api::{Shared, now_ms};
use fabric_engine::lane::{ATTEMPT_LEASE, FromNode};
use fabric_types::rest::node::{Node as Facts, warm_name};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often the node speaks.
const EVERY: Duration = Duration::from_secs(1);
/// How long others believe it: several missed words mean that it is gone.
const TTL: Duration = Duration::from_secs(10);
/// Every so many heartbeats one names all attempts.
const HOLDS_EVERY: u32 = 4;
/// When attempts are stopped because no heartbeat was heard: a turn and an answer's time before their lease is over.
const GIVE_UP: Duration = ATTEMPT_LEASE.saturating_sub(Duration::from_secs(2));

/// Modules that are named as held in memory.
const WARM: usize = 64;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn warm(shared: &Shared) -> Vec<String> {
    // A module can be there twice, for calls with grants and without.
    let names: BTreeSet<_> = shared.host.warm(2 * WARM).iter().map(warm_name).collect();
    names.into_iter().take(WARM).collect()
}

/// Facts about this node, now.
pub fn facts(shared: &Shared) -> Facts {
    let stats = shared.host.stats();
    let count = |n: i64| u32::try_from(n).unwrap_or(0);
    let (gpu, gpu_absent) = match shared.host.gpu().facts() {
        Ok(gpu) => (Some(gpu), None),
        Err(why) => (None, Some(why)),
    };
    Facts {
        id: shared.id.clone(),
        state: "ready".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: shared.host.fingerprint(true).to_owned(),
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

/// Speaks until `stop`, then says good-bye.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut leaving = shared.leaving.subscribe();
    let mut renewed = Instant::now();
    for count in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => break,
            // Another process has the lane, and with it the name: no word of this one any more, not even good-bye.
            () = shared.lane_closed.cancelled() => return,
            _ = leaving.changed() => {}
            _ = tick.tick() => {}
        }
        let node = shared.id.clone();
        let message = if count % HOLDS_EVERY == 0 {
            FromNode::Holds { node, attempts: shared.holding.list() }
        } else {
            FromNode::Heartbeat { node }
        };
        let asked = Instant::now();
        let (announced, heard) = tokio::join!(
            timeout(EVERY, shared.engine.presence.announce(facts(&shared), TTL)),
            timeout(EVERY, shared.engine.lanes.report(message)),
        );
        if let Ok(Err(error)) = announced {
            tracing::warn!(%error, "the node could not announce itself");
        }
        match heard {
            Ok(Ok(())) => renewed = asked,
            Ok(Err(error)) => tracing::warn!(%error, "a heartbeat was lost"),
            Err(_) => {}
        }
        if renewed.elapsed() >= GIVE_UP {
            renewed = Instant::now();
            let attempts = shared.holding.len();
            if attempts > 0 {
                tracing::warn!(
                    attempts,
                    "no heartbeat was heard for a lease's time; what is here counts as lost and is stopped"
                );
                shared.lapsed.notify_one();
            }
        }
    }
    if let Err(error) = shared.engine.presence.leave(&shared.id).await {
        tracing::warn!(%error, "the node could not say good-bye");
    }
}
