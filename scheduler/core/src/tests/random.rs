//! Random event sequences: the invariants hold after every step, in any order of events.
use super::*;
use crate::TenantQuota;
use fabric_types::{
    function::EntryKind,
    quota::{Guarantee, Limit},
    units::ByteSize,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn invariants_hold_after_every_event(events in prop::collection::vec((0u8..18, any::<u32>(), 0u64..3_000_000), 1..150)) {
        let mut fixture = Fixture { core: Core::default(), now: 0 };
        let mut out: Vec<(NodeId, JobId, TaskId, u32)> = Vec::new();
        for (kind, x, pass) in events {
            fixture.now += pass;
            let n = node(x % 4);
            let labels = (x % 3 == 0).then(|| ("zone".to_owned(), "a".to_owned())).into_iter().collect();
            let accepts = if x % 5 == 0 { vec![EntryKind::Command] } else { Vec::new() };
            let spec = NodeSpec { speed: 1.5, gpus: x % 3, labels, accepts, ..NodeSpec::new(x % 5, u64::from(x % 7) << 20) };
            let any = (!out.is_empty()).then(|| out[x as usize % out.len()].clone());
            let actions = match (kind, any) {
                (0..=2, _) => fixture.submit(SchedulableJob {
                    tenant: tenant(if x % 2 == 0 { "even" } else { "odd" }),
                    reduce_fan_in: (x % 3 == 0).then_some(x % 5),
                    shuffle: (x % 7 == 0).then_some(x % 4),
                    concurrency: x % 4,
                    max_attempts: x % 4,
                    allow_failed: x % 3,
                    cpu_slots: x % 3,
                    memory_bytes: u64::from(x % 4) << 20,
                    gpus: u32::from(x % 11 == 0),
                    kind: if x % 13 == 0 { EntryKind::Command } else { EntryKind::Task },
                    labels: (x % 6 == 0).then(|| ("zone".to_owned(), "a".to_owned())).into_iter().collect(),
                    budget_fuel: (x % 5 == 0).then_some(50),
                    ..plan(u128::from(x % 64), x % 20)
                }),
                (3, _) => fixture.step(Event::NodeUp { node: n, spec }),
                (4, _) => fixture.step(Event::NodeUpdate { node: n, spec }),
                (5, _) => fixture.step(Event::NodeDown { node: n }),
                (6, _) => fixture.step(if x % 2 == 0 { Event::Cordon { node: n } } else { Event::Uncordon { node: n } }),
                (7, _) => fixture.step(Event::Heartbeat { node: n }),
                (8, _) => fixture.step(Event::SetQuota {
                    tenant: tenant("odd"),
                    quota: TenantQuota {
                        guarantee: Guarantee { cpu_slots: x % 3, ..Guarantee::default() },
                        limit: Limit {
                            cpu_slots: (x % 2 == 0).then_some(x % 4 + 12),
                            memory_bytes: (x % 7 == 0).then_some(ByteSize::mib(8)),
                            gpus: (x % 5 == 0).then_some(1),
                            storage_bytes: None,
                        },
                        weight: x % 5,
                        ..TenantQuota::default()
                    },
                }),
                (9, _) => fixture.step(Event::Cancel { job: job(u128::from(x % 64)) }),
                (10..=12, Some(attempt)) => fixture.done(&attempt),
                (16, Some((_, job, task, _))) => fixture.step(Event::Killed { job, task, alone: x % 2 == 0 }),
                (17, Some((_, job, task, _))) if x % 2 == 0 => fixture.step(Event::KilledReverted { job, task }),
                (13, Some(attempt)) => fixture.fail(&attempt, Code::FunctionRetryable),
                (14, Some(attempt)) => fixture.fail(&attempt, Code::TrapOther),
                _ => fixture.step(Event::Tick),
            };
            out.extend(sent(&actions));
        }
    }
}
