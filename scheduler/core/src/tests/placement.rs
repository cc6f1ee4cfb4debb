//! Tests of placement, guarantees, and the reason that a waiting job reports.
use super::*;
use crate::{JobOutcome, TenantQuota, placement::Requirement};
use fabric_types::{
    function::EntryKind,
    gpu::{GpuRequirement, GpuSupport},
    label::Labels,
    quota::{Guarantee, Limit},
    units::ByteSize,
};

/// Returns a limit of CPU slots.
pub fn slots(n: u32) -> Limit {
    Limit { cpu_slots: Some(n), ..Limit::default() }
}

/// Returns the requirement of an attempt with one slot.
pub fn requirement() -> Requirement {
    Requirement {
        tenant: tenant("acme"),
        cpu_slots: 1,
        memory_bytes: 0,
        gpus: 0,
        gpu: GpuRequirement::None,
        kind: EntryKind::Task,
        labels: Default::default(),
        hints: vec![],
        excluded: None,
    }
}

fn guarantee(n: u32) -> TenantQuota {
    TenantQuota { guarantee: Guarantee { cpu_slots: n, ..Guarantee::default() }, ..TenantQuota::default() }
}

fn labels(text: &[(&str, &str)]) -> Labels {
    text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn up(fixture: &mut Fixture, n: u32, spec: NodeSpec) -> Vec<Action> {
    fixture.step(Event::NodeUp { node: node(n), spec })
}

fn waiting(fixture: &Fixture, n: u128) -> String {
    fixture.core.job(&job(n)).unwrap().waiting.expect("it waits")
}

#[test]
fn labels_gpus_and_kinds_narrow_the_choice() {
    let mut fixture = Fixture::new(3, 4);
    up(&mut fixture, 3, NodeSpec { labels: labels(&[("zone", "b"), ("disk", "ssd")]), ..NodeSpec::new(4, 1 << 30) });
    up(&mut fixture, 4, NodeSpec { gpus: 2, accepts: vec![EntryKind::Command], ..NodeSpec::new(4, 1 << 30) });
    let out = sent(&fixture.submit(SchedulableJob { labels: labels(&[("zone", "b"), ("disk", "ssd")]), ..plan(1, 6) }));
    assert_eq!(out.iter().map(|a| &a.0).collect::<Vec<_>>(), vec![&node(3); 4]);
    let out = sent(&fixture.submit(SchedulableJob { gpus: 1, kind: EntryKind::Command, ..plan(2, 6) }));
    assert_eq!(out.iter().map(|a| &a.0).collect::<Vec<_>>(), vec![&node(4); 2], "one for each GPU");
    assert_eq!(sent(&fixture.done(&out[0])).len(), 1);
    assert!(sent(&fixture.submit(SchedulableJob { gpus: 1, ..plan(3, 1) })).is_empty());
    assert_eq!(waiting(&fixture, 3), "an attempt needs 1 GPU, and the suitable ready node with the most has 0");
    assert!(sent(&fixture.submit(SchedulableJob { labels: labels(&[("zone", "c")]), ..plan(4, 1) })).is_empty());
    assert_eq!(waiting(&fixture, 4), "it needs label zone=c, and no node has that");
    fixture.step(Event::Cordon { node: node(3) });
    fixture.submit(SchedulableJob { labels: labels(&[("disk", "ssd")]), ..plan(5, 1) });
    assert_eq!(waiting(&fixture, 5), "it needs label disk=ssd, and the one node that has that is not ready");
}

#[test]
fn a_rare_label_is_found_among_many_nodes() {
    let mut fixture = Fixture::new(300, 1);
    up(&mut fixture, 300, NodeSpec { labels: labels(&[("rare", "yes")]), ..NodeSpec::new(1, 1 << 30) });
    for n in 0..3 {
        let out = sent(&fixture.submit(SchedulableJob { labels: labels(&[("rare", "yes")]), ..plan(n, 1) }));
        assert_eq!(out[0].0, node(300));
        fixture.done(&out[0]);
    }
}

#[test]
fn limits_of_memory_and_gpus_hold() {
    let mut fixture = Fixture::new(1, 8);
    up(&mut fixture, 0, NodeSpec { gpus: 4, ..NodeSpec::new(8, 1 << 30) });
    let limit = Limit { memory_bytes: Some(ByteSize::mib(300)), gpus: Some(1), ..Limit::default() };
    fixture.step(Event::SetQuota { tenant: tenant("acme"), quota: TenantQuota { limit, ..TenantQuota::default() } });
    let out = sent(&fixture.submit(SchedulableJob { memory_bytes: 100 << 20, ..plan(1, 8) }));
    assert_eq!(out.len(), 3);
    fixture.submit(SchedulableJob { memory_bytes: 1, ..plan(2, 1) });
    assert_eq!(waiting(&fixture, 2), "tenant acme uses 300 MiB of its limit of 300 MiB of memory");
    fixture.step(Event::Cancel { job: job(1) });
    assert_eq!(sent(&fixture.submit(SchedulableJob { gpus: 1, ..plan(3, 3) })).len(), 1);
    fixture.submit(SchedulableJob { gpus: 1, ..plan(4, 3) });
    assert_eq!(waiting(&fixture, 4), "tenant acme uses 1 of its limit of 1 GPU");
    // A raised limit takes effect at once.
    let limit = Limit { gpus: Some(4), ..limit };
    let quota = TenantQuota { limit, ..TenantQuota::default() };
    assert_eq!(sent(&fixture.step(Event::SetQuota { tenant: tenant("acme"), quota })).len(), 3);
}

#[test]
fn a_noisy_tenant_cannot_push_another_below_its_guarantee() {
    let mut fixture = Fixture::new(2, 4);
    fixture.step(Event::SetQuota { tenant: tenant("calm"), quota: guarantee(3) });
    let mut noisy = sent(&fixture.submit(SchedulableJob { tenant: tenant("noisy"), ..plan(1, 1000) }));
    assert_eq!(noisy.len(), 8);
    // Young attempts are not preempted, because short work frees its slot soon.
    let actions = fixture.submit(SchedulableJob { tenant: tenant("calm"), ..plan(2, 10) });
    assert_eq!((sent(&actions).len(), aborted(&actions)), (0, 0));
    assert_eq!(
        waiting(&fixture, 2),
        "all 8 slots of the 2 nodes that it could have are taken by 1 job of other tenants"
    );
    let mut calm = sent(&fixture.done(&noisy.remove(0)));
    assert_eq!(calm[0].1, job(2), "first in line");
    // Old attempts are preempted, as many as the guarantee requires.
    let actions = fixture.after_ms(1500);
    calm.extend(sent(&actions));
    assert_eq!((calm.len(), aborted(&actions)), (3, 2));
    assert_eq!(fixture.core.stats().preempted, 2);
    assert_eq!(aborted(&fixture.after_ms(5000)), 0, "no further preemption");
    // A preempted task has not failed, and runs again when there is room.
    let view = fixture.core.job(&job(1)).unwrap();
    assert_eq!((view.tasks.retries, view.tasks.failed), (0, 0));
    for _ in 0..7 {
        let attempt = calm.remove(0);
        calm.extend(sent(&fixture.done(&attempt)).into_iter().filter(|a| a.1 == job(2)));
    }
    let mut ends = Vec::new();
    for attempt in calm {
        ends.extend(finished(&fixture.done(&attempt)));
    }
    assert_eq!(ends, [JobOutcome::Succeeded]);
    assert_eq!(fixture.core.job(&job(1)).unwrap().tasks.running, 8);
}

#[test]
fn what_was_queued_deep_and_turned_out_long_leaves_a_whole_slot() {
    let mut fixture = Fixture::new(0, 0);
    fixture.core = Core::default();
    up(&mut fixture, 0, NodeSpec::new(2, 1 << 30));
    for (name, n) in [("calm", 1), ("noisy", 1)] {
        fixture.step(Event::SetQuota { tenant: tenant(name), quota: guarantee(n) });
    }
    // Two for each slot, since nothing was measured yet: two run on the node, and two wait there.
    let noisy = sent(&fixture.submit(SchedulableJob { tenant: tenant("noisy"), ..plan(1, 6) }));
    assert_eq!(noisy.len(), 4);
    fixture.after_ms(2000);
    let actions = fixture.submit(SchedulableJob { tenant: tenant("calm"), ..plan(2, 1) });
    assert_eq!(aborted(&actions), 3, "one of the noisy tenant's keeps its slot");
    assert_eq!(sent(&actions)[0].1, job(2), "the first behind what runs");
    // Work that turned out to be long counts whole from then on, and is not queued two deep again.
    assert!(fixture.core.job(&job(1)).unwrap().tasks.running <= 2);
}

#[test]
fn a_tenant_of_which_nothing_runs_gets_a_slot_from_those_that_sleep_on_all_of_them() {
    let mut fixture = Fixture::new(2, 4);
    for n in 0..300 {
        fixture.submit(SchedulableJob { tenant: tenant("sleepy"), ..plan(n, 1) });
    }
    let asked = fixture.submit(SchedulableJob { tenant: tenant("small"), ..plan(1000, 50) });
    assert_eq!((sent(&asked).len(), aborted(&asked)), (0, 0));
    let young = fixture.after_ms(4900);
    assert_eq!(aborted(&young), 0, "short work frees its slot soon");
    let heard: Vec<_> = (0..2).map(|n| fixture.step(Event::Heartbeat { node: node(n) })).collect();
    assert!(heard.iter().all(|actions| aborted(actions) == 0));
    let old = fixture.after_ms(600);
    assert_eq!(aborted(&old), 1, "one slot, not a share of all");
    assert_eq!(sent(&old).iter().map(|a| &a.1).collect::<Vec<_>>(), [&job(1000)]);
    // A third tenant receives a slot as well, from the tenant that has several. The second tenant keeps its only one.
    let third = fixture.submit(SchedulableJob { tenant: tenant("third"), ..plan(2000, 1) });
    assert_eq!((sent(&third).len(), aborted(&third)), (1, 1));
    assert_eq!(fixture.core.job(&job(1000)).unwrap().tasks.running, 1);
    assert_eq!(fixture.core.stats().preempted, 2);
}

#[test]
fn the_only_slot_is_taken_from_nobody() {
    let mut fixture = Fixture::new(1, 1);
    fixture.submit(SchedulableJob { tenant: tenant("first"), ..plan(1, 5) });
    fixture.submit(SchedulableJob { tenant: tenant("second"), ..plan(2, 5) });
    for _ in 0..10 {
        assert_eq!(aborted(&fixture.after_ms(10_000)), 0);
        fixture.step(Event::Heartbeat { node: node(0) });
    }
    // A guarantee that cannot be met does not keep other tenants from theirs.
    let mut fixture = Fixture::new(1, 4);
    fixture.step(Event::SetQuota { tenant: tenant("greedy"), quota: guarantee(100) });
    fixture.submit(SchedulableJob { tenant: tenant("greedy"), ..plan(1, 3) });
    fixture.submit(SchedulableJob { tenant: tenant("sleepy"), ..plan(2, 10) });
    fixture.submit(SchedulableJob { tenant: tenant("greedy"), ..plan(3, 10) });
    let before = fixture.core.job(&job(2)).unwrap().tasks.running;
    assert_eq!(before, 1);
    fixture.submit(SchedulableJob { tenant: tenant("small"), ..plan(4, 10) });
    for _ in 0..3 {
        fixture.after_ms(5100);
        fixture.step(Event::Heartbeat { node: node(0) });
    }
    assert_eq!(fixture.core.job(&job(1)).unwrap().tasks.running, 3, "a guarantee is not touched");
}

#[test]
fn guarantees_beyond_what_there_is_stop_nothing() {
    let mut fixture = Fixture::new(1, 2);
    for name in ["a", "b"] {
        fixture.step(Event::SetQuota { tenant: tenant(name), quota: guarantee(2) });
    }
    fixture.submit(SchedulableJob { tenant: tenant("a"), ..plan(1, 10) });
    fixture.submit(SchedulableJob { tenant: tenant("b"), ..plan(2, 10) });
    for _ in 0..10 {
        assert_eq!(aborted(&fixture.after_ms(1400)), 0);
        fixture.step(Event::Heartbeat { node: node(0) });
    }
}

#[test]
fn explaining_is_placing() {
    let mut fixture = Fixture::new(0, 0);
    for n in 0..12 {
        let spec = NodeSpec {
            speed: 0.5 + f32::from(u8::try_from(n).unwrap()) / 7.0,
            labels: if n % 3 == 0 { Labels::new() } else { labels(&[("zone", "a")]) },
            ..NodeSpec::new(1 + n % 5, 1 << 30)
        };
        up(&mut fixture, n, spec);
    }
    fixture.step(Event::Drain { node: node(11) });
    for n in 0..20 {
        let asked = SchedulableJob { labels: labels(&[("zone", "a")]), memory_bytes: 50 << 20, ..plan(n, 1) };
        let explained = fixture.core.explain(&Requirement {
            memory_bytes: asked.memory_bytes,
            labels: asked.labels.clone(),
            ..requirement()
        });
        let total = |id: &NodeId| explained.nodes.iter().find(|n| n.node == *id).unwrap().total;
        let Some(winner) = explained.winner.clone() else {
            assert!(sent(&fixture.submit(asked)).is_empty());
            continue;
        };
        let out = sent(&fixture.submit(asked));
        assert_eq!(total(&out[0].0), total(&winner), "{n}: {explained:?}");
    }
}

#[test]
fn a_shared_gpu_is_required_preferred_or_left_alone() {
    let mut fixture = Fixture::new(1, 8);
    let wish = |n, gpu| SchedulableJob { gpu, ..plan(n, 1) };
    assert!(sent(&fixture.submit(wish(1, GpuRequirement::Required))).is_empty());
    assert_eq!(waiting(&fixture, 1), "it requires a GPU, and no node has one for guests");
    // A software driver is not enough for a job that requires a GPU, but serves one that prefers a GPU.
    up(&mut fixture, 1, NodeSpec { gpu: GpuSupport::Partial, ..NodeSpec::new(8, 1 << 30) });
    assert_eq!(waiting(&fixture, 1), "it requires a GPU, and no node has one for guests");
    assert_eq!(sent(&fixture.submit(wish(2, GpuRequirement::Preferred)))[0].0, node(1));
    // The waiting job goes to the first suitable node that joins.
    let out = sent(&up(&mut fixture, 2, NodeSpec { gpu: GpuSupport::Full, ..NodeSpec::new(8, 1 << 30) }));
    assert_eq!((&out[0].0, &out[0].1), (&node(2), &job(1)));
    // A shared GPU runs many attempts at once, here on one node. A job that prefers a GPU goes there although the node
    // is the busiest.
    for n in 3..6 {
        assert_eq!(sent(&fixture.submit(wish(n, GpuRequirement::Required)))[0].0, node(2));
    }
    assert_eq!(sent(&fixture.submit(wish(6, GpuRequirement::Preferred)))[0].0, node(2));
    let nodes = fixture.core.explain(&Requirement { gpu: GpuRequirement::Required, ..requirement() }).nodes;
    let fits = |n: usize| nodes[n].filters.iter().find(|v| v.filter == "Fits").unwrap();
    assert_eq!(nodes.iter().map(|n| n.total.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert!(fits(0).reason.contains("without a GPU for guests; it needs 1 slot"), "{}", fits(0).reason);
    assert!(fits(1).reason.ends_with("a GPU is required") && fits(1).reason.contains("a software driver's GPU"));
    assert!(nodes[2].scores.iter().any(|s| s.name == "Gpu"));
    let plain = fixture.core.explain(&requirement()).nodes;
    assert!(plain.iter().all(|n| n.total.is_some() && n.scores.iter().all(|s| s.name != "Gpu")));
}

#[test]
fn a_job_that_waits_says_why() {
    let mut fixture = Fixture::new(0, 0);
    fixture.submit(plan(1, 3));
    assert_eq!(waiting(&fixture, 1), "there are no nodes");
    let out = sent(&up(&mut fixture, 0, NodeSpec::new(1, 1 << 30)));
    assert_eq!(fixture.core.job(&job(1)).unwrap().waiting, None);
    fixture.submit(SchedulableJob { priority: 1, ..plan(2, 1) });
    assert_eq!(waiting(&fixture, 2), "the one slot that it could have is taken by 1 job of this tenant");
    fixture.step(Event::Cancel { job: job(2) });
    fixture.submit(SchedulableJob { memory_bytes: 64 << 30, ..plan(3, 1) });
    assert_eq!(waiting(&fixture, 3), "an attempt needs 64 GiB, and the largest node has 1 GiB");
    fixture.step(Event::Cordon { node: node(0) });
    fixture.step(Event::Cancel { job: job(3) });
    fixture.fail(&out[0], Code::FunctionRetryable);
    fixture.after_ms(1000);
    assert_eq!(waiting(&fixture, 1), "no node is ready: 1 cordoned");
    fixture.step(Event::Uncordon { node: node(0) });
    let out = sent(&fixture.submit(plan(4, 1)));
    assert!(out.is_empty());
    for job in [1, 4] {
        fixture.step(Event::Cancel { job: super::job(job) });
    }
    let out = sent(&fixture.submit(plan(5, 1)));
    fixture.fail(&out[0], Code::FunctionRetryable);
    assert_eq!(waiting(&fixture, 5), "a task failed or lost its node; it is retried in 1 s");
}
