//! One test for each scheduling rule.
use super::placement::{requirement, slots};
use super::*;
use crate::{JobOutcome, RestoredTask, TenantQuota, plan as shape};
use fabric_types::job::{JobState, TaskState};

#[test]
fn shapes_and_inputs() {
    let mut p = plan(1, 10);
    assert_eq!(shape::stages(&p).len(), 1);
    p.reduce_fan_in = Some(4);
    assert_eq!(shape::stages(&p).iter().map(|s| s.tasks).collect::<Vec<_>>(), [10, 3, 1]);
    assert_eq!(shape::inputs(&p, TaskId { stage: 1, index: 2 }), 8..10);
    assert_eq!(shape::inputs(&p, TaskId { stage: 2, index: 0 }), 0..3);
    assert_eq!(shape::inputs(&p, TaskId { stage: 2, index: 1 }), 0..0);
    p.map_tasks = 1;
    assert_eq!(shape::stages(&p).iter().map(|s| s.tasks).collect::<Vec<_>>(), [1, 1]);
    p.shuffle = Some(5);
    assert_eq!(shape::inputs(&p, TaskId { stage: 1, index: 4 }), 0..1);
    p.map_tasks = 0;
    assert!(shape::stages(&p).is_empty());
}

#[test]
fn nothing_to_map_succeeds_at_once() {
    assert_eq!(finished(&Fixture::new(0, 0).submit(plan(1, 0))), [JobOutcome::Succeeded]);
}

#[test]
fn a_tree_reduce_starts_as_soon_as_its_own_inputs_are_there() {
    let mut fixture = Fixture::new(1, 8);
    let out = sent(&fixture.submit(SchedulableJob { reduce_fan_in: Some(2), ..plan(1, 4) }));
    assert_eq!(out.len(), 4);
    assert!(sent(&fixture.done(&out[0])).is_empty());
    let first = sent(&fixture.done(&out[1]));
    assert_eq!(first[0].2, TaskId { stage: 1, index: 0 });
    fixture.done(&out[2]);
    let second = sent(&fixture.done(&out[3]));
    fixture.done(&first[0]);
    let last = sent(&fixture.done(&second[0]));
    assert_eq!(last[0].2, TaskId { stage: 2, index: 0 });
    assert_eq!(finished(&fixture.done(&last[0])), [JobOutcome::Succeeded]);
    assert_eq!(fixture.core.job(&job(1)).unwrap().tasks.succeeded, 7);
}

#[test]
fn a_keyed_shuffle_waits_for_every_map_task() {
    let mut fixture = Fixture::new(1, 8);
    let out = sent(&fixture.submit(SchedulableJob { shuffle: Some(3), ..plan(1, 2) }));
    assert!(sent(&fixture.done(&out[1])).is_empty());
    assert_eq!(fixture.core.task(&job(1), TaskId { stage: 1, index: 0 }).unwrap().state, TaskState::Blocked);
    assert_eq!(sent(&fixture.done(&out[0])).len(), 3);
}

#[test]
fn a_failed_attempt_is_repeated_elsewhere_after_a_backoff() {
    let mut fixture = Fixture::new(2, 4);
    let out = sent(&fixture.submit(plan(1, 1)));
    let actions = fixture.fail(&out[0], Code::FunctionRetryable);
    assert!(sent(&actions).is_empty() && actions.iter().any(|a| matches!(a, Action::TaskRetry { .. })));
    assert!(sent(&fixture.after_ms(10)).is_empty(), "backoff");
    let again = sent(&fixture.after_ms(100));
    assert_eq!((again[0].3, again[0].0 != out[0].0), (2, true));
    assert_eq!(finished(&fixture.done(&again[0])), [JobOutcome::Succeeded]);
}

#[test]
fn attempts_have_an_end_and_guest_faults_none() {
    let mut fixture = Fixture::new(1, 4);
    let mut out = sent(&fixture.submit(SchedulableJob { max_attempts: 2, ..plan(1, 1) }));
    fixture.fail(&out[0], Code::FunctionRetryable);
    out = sent(&fixture.after_ms(1000));
    let end = finished(&fixture.fail(&out[0], Code::FunctionRetryable));
    assert_eq!(end, [JobOutcome::Failed { task: Some(map(0)), code: Code::FunctionRetryable }]);
    let out = sent(&fixture.submit(plan(2, 3)));
    let actions = fixture.fail(&out[1], Code::OutOfFuel);
    assert_eq!(finished(&actions), [JobOutcome::Failed { task: Some(map(1)), code: Code::OutOfFuel }]);
    assert_eq!(aborted(&actions), 2);
}

#[test]
fn the_first_result_wins_and_late_ones_are_counted() {
    let mut fixture = Fixture::new(2, 1);
    let out = sent(&fixture.submit(plan(1, 2)));
    fixture.step(Event::NodeDown { node: out[0].0.clone() });
    fixture.done(&out[0]);
    let actions = fixture.done(&out[0]);
    assert!(finished(&actions).is_empty());
    assert_eq!(fixture.core.stats().duplicates, 1);
    assert_eq!(finished(&fixture.done(&out[1])), [JobOutcome::Succeeded]);
    fixture.done(&out[1]);
    assert_eq!(fixture.core.stats().stale, 1);
}

#[test]
fn a_silent_nodes_attempts_are_lost_and_a_heartbeat_keeps_them() {
    let mut fixture = Fixture::new(1, 1);
    let out = sent(&fixture.submit(plan(1, 1)));
    fixture.now += 10_000_000;
    fixture.step(Event::Heartbeat { node: node(0) });
    assert_eq!(aborted(&fixture.after_ms(10_000)), 0);
    assert_eq!(aborted(&fixture.after_ms(6_000)), 1);
    assert_eq!(fixture.core.nodes().next().unwrap().state, "lost");
    fixture.step(Event::Heartbeat { node: node(0) });
    let again = sent(&fixture.after_ms(1000));
    assert_eq!(again[0].3, out[0].3 + 1);
}

#[test]
fn a_lost_dispatch_is_found_by_what_the_node_holds() {
    let mut fixture = Fixture::new(1, 2);
    let out = sent(&fixture.submit(plan(1, 2)));
    for _ in 0..4 {
        fixture.now += 5_000_000;
        let attempts = vec![(out[0].1.clone(), out[0].2, out[0].3)];
        fixture.step(Event::HeartbeatWithAttempts { node: node(0), attempts });
    }
    assert_eq!(fixture.core.task(&job(1), out[0].2).unwrap().attempts, 1);
    assert_eq!(fixture.core.task(&job(1), out[1].2).unwrap().losses, 1);
}

#[test]
fn losses_of_nodes_have_a_bound_of_their_own() {
    let mut fixture = Fixture::new(1, 1);
    fixture.submit(SchedulableJob { max_attempts: 1, ..plan(1, 1) });
    let mut end = Vec::new();
    for _ in 0..80 {
        end.extend(finished(&fixture.step(Event::NodeUp { node: node(0), spec: NodeSpec::new(1, 1 << 30) })));
        end.extend(finished(&fixture.after_ms(60_000)));
    }
    assert_eq!(end, [JobOutcome::Failed { task: Some(map(0)), code: Code::NodeLost }]);
}

#[test]
fn concurrency_limits_and_quotas_hold() {
    let mut fixture = Fixture::new(4, 4);
    assert_eq!(sent(&fixture.submit(SchedulableJob { concurrency: 3, ..plan(1, 20) })).len(), 3);
    let quota = TenantQuota { limit: slots(2), ..TenantQuota::default() };
    fixture.step(Event::SetQuota { tenant: tenant("small"), quota });
    let p = SchedulableJob { tenant: tenant("small"), ..plan(2, 20) };
    let out = sent(&fixture.submit(p.clone()));
    assert_eq!(out.len(), 2);
    fixture.submit(SchedulableJob { job: job(3), ..p });
    assert!(fixture.core.job(&job(3)).unwrap().why.contains("limit of 2 slots"));
    assert_eq!(sent(&fixture.done(&out[0])).len(), 1);
}

#[test]
fn tenants_share_by_weight_and_priority_goes_first_within_one() {
    let mut fixture = Fixture::new(4, 3);
    let quota = TenantQuota { weight: 2, ..TenantQuota::default() };
    fixture.step(Event::SetQuota { tenant: tenant("big"), quota });
    let first = sent(&fixture.submit(plan(1, 100)));
    fixture.submit(SchedulableJob { tenant: tenant("big"), ..plan(2, 100) });
    fixture.submit(SchedulableJob { priority: 5, tenant: tenant("big"), ..plan(3, 100) });
    let mut running = first;
    for _ in 0..60 {
        let attempt = running.remove(0);
        let next = sent(&fixture.done(&attempt));
        assert!(next.iter().all(|a| a.1 != job(2)), "priority");
        running.extend(next);
    }
    let big = running.iter().filter(|a| a.1 == job(3)).count();
    assert_eq!((big, running.len()), (8, 12));
}

#[test]
fn a_budget_ends_the_job() {
    let mut fixture = Fixture::new(1, 2);
    let first = sent(&fixture.submit(SchedulableJob { budget_fuel: Some(15), ..plan(1, 10) }));
    let second = sent(&fixture.done(&first[0]));
    assert_eq!(
        (first.len(), second.len()),
        (1, 1),
        "the cost of an attempt is unknown, and then the budget covers half of one"
    );
    let actions = fixture.done(&second[0]);
    assert_eq!(finished(&actions), [JobOutcome::Failed { task: None, code: Code::BudgetExhausted }]);
    assert!(sent(&actions).is_empty());
}

#[test]
fn attempts_are_sent_while_the_budget_covers_them() {
    let mut fixture = Fixture::new(1, 8);
    let first = sent(&fixture.submit(SchedulableJob { budget_fuel: Some(55), ..plan(1, 5) }));
    let rest = sent(&fixture.done(&first[0]));
    assert_eq!((first.len(), rest.len()), (1, 4), "an attempt takes 10 of the 45 that are left");
    let actions: Vec<_> = rest.iter().flat_map(|sent| fixture.done(sent)).collect();
    assert_eq!(finished(&actions), [JobOutcome::Succeeded]);

    let mut fixture = Fixture::new(1, 8);
    let first = sent(&fixture.submit(SchedulableJob { budget_fuel: Some(35), ..plan(1, 8) }));
    let rest = sent(&fixture.done(&first[0]));
    assert_eq!(rest.len(), 2, "the budget covers two more, however many slots are free");
}

#[test]
fn an_attempt_that_meets_the_budget_ends_the_job_whatever_may_fail() {
    let mut fixture = Fixture::new(1, 2);
    let out = sent(&fixture.submit(SchedulableJob { budget_fuel: Some(15), allow_failed: 9, ..plan(1, 10) }));
    let actions = fixture.fail(&out[0], Code::BudgetExhausted);
    assert_eq!(finished(&actions), [JobOutcome::Failed { task: None, code: Code::BudgetExhausted }]);
}

#[test]
fn cancel_aborts() {
    let mut fixture = Fixture::new(1, 2);
    fixture.submit(plan(1, 10));
    let actions = fixture.step(Event::Cancel { job: job(1) });
    assert_eq!((finished(&actions), aborted(&actions)), (vec![JobOutcome::Cancelled], 2));
    assert_eq!(fixture.core.job(&job(1)).unwrap().state, JobState::Cancelled);
}

#[test]
fn a_restored_job_carries_on() {
    let mut fixture = Fixture::new(1, 8);
    let done = |index| RestoredTask {
        task: map(index),
        attempts: 3,
        done: index < 2,
        cached: false,
        dead: false,
        killed: false,
        fuel: 1,
    };
    let plan = SchedulableJob { reduce_fan_in: Some(2), ..plan(1, 3) };
    let out = sent(&fixture.step(Event::Restore { plan, tasks: vec![done(0), done(1), done(2)] }));
    let mut tasks: Vec<_> = out.iter().map(|a| (a.2, a.3)).collect();
    tasks.sort();
    assert_eq!(tasks, [(map(2), 4), (TaskId { stage: 1, index: 0 }, 1)]);
}

#[test]
fn a_straggler_gets_one_copy_elsewhere() {
    let mut fixture = Fixture::new(2, 4);
    let out = sent(&fixture.submit(plan(1, 8)));
    for attempt in &out[..7] {
        fixture.done(attempt);
    }
    let mut copies = Vec::new();
    for _ in 0..10 {
        copies.extend(sent(&fixture.after_ms(600)));
    }
    assert_eq!(copies.len(), 1);
    assert!(copies[0].2 == out[7].2 && copies[0].0 != out[7].0);
    let actions = fixture.done(&copies[0]);
    assert_eq!((finished(&actions), aborted(&actions)), (vec![JobOutcome::Succeeded], 1));
}

#[test]
fn a_result_that_came_before_those_it_is_made_of_does_not_end_the_job() {
    let mut fixture = Fixture::new(1, 8);
    let job = SchedulableJob { reduce_fan_in: Some(8), ..plan(1, 2) };
    let maps = sent(&fixture.submit(job));
    assert_eq!(maps.len(), 2);
    // A previous owner had sent the reduce task.
    let reduce = TaskId { stage: 1, index: 0 };
    let (node, id) = (maps[0].0.clone(), maps[0].1.clone());
    let early = Event::TaskDone { job: id, task: reduce, attempt: 1, node, fuel: 1, wall_us: 1, cached: false };
    assert_eq!(finished(&fixture.step(early)), []);
    fixture.done(&maps[0]);
    let last = sent(&fixture.done(&maps[1]));
    assert_eq!(last.iter().map(|attempt| attempt.2).collect::<Vec<_>>(), [reduce]);
    assert_eq!(finished(&fixture.done(&last[0])), [JobOutcome::Succeeded]);
}

#[test]
fn a_job_that_was_let_go_can_be_taken_up_again_and_ends_once() {
    let mut fixture = Fixture::new(2, 4);
    let job = plan(1, 8);
    let first = sent(&fixture.submit(job.clone()));
    fixture.done(&first[0]);
    let actions = fixture.step(Event::DropJob { job: job.job.clone() });
    assert_eq!((aborted(&actions), finished(&actions)), (7, vec![]));
    let done =
        RestoredTask { task: first[0].2, attempts: 1, done: true, cached: false, dead: false, killed: false, fuel: 10 };
    let again = sent(&fixture.step(Event::Restore { plan: job.clone(), tasks: vec![done] }));
    assert_eq!(again.len(), 7);
    let ended: Vec<_> = again.iter().flat_map(|attempt| finished(&fixture.done(attempt))).collect();
    assert_eq!(ended, [JobOutcome::Succeeded]);
    // A job can be restored after its end as well, because the journal may not have the end.
    fixture.step(Event::DropJob { job: job.job.clone() });
    assert_eq!(sent(&fixture.step(Event::Restore { plan: job, tasks: vec![done] })).len(), 7);
}

#[test]
fn a_node_that_ends_nothing_does_not_hold_its_share_of_a_small_job() {
    let mut fixture = Fixture::new(2, 4);
    let (quick, stuck): (Vec<_>, Vec<_>) = sent(&fixture.submit(plan(1, 8))).into_iter().partition(|a| a.0 == node(0));
    assert_eq!((quick.len(), stuck.len()), (4, 4));
    for attempt in &quick {
        fixture.done(attempt);
    }
    let mut copies = Vec::new();
    for _ in 0..10 {
        copies.extend(sent(&fixture.after_ms(600)));
    }
    assert!(copies.len() == 4 && copies.iter().all(|a| a.0 == node(0)), "{copies:?}");
}

#[test]
fn a_copy_waits_for_a_node_that_is_not_slow_itself() {
    let mut fixture = Fixture::new(2, 4);
    let mut running = sent(&fixture.submit(plan(1, 200)));
    // Node 1 is ten times slower than announced, and ends fewer tasks.
    for n in 0.. {
        let want = node(u32::from(n % 25 == 0));
        let Some(at) = running.iter().position(|a| a.0 == want) else { break };
        let (node, job, task, attempt) = running.remove(at);
        let wall_us = if node == super::node(1) { 100_000 } else { 10_000 };
        running.extend(sent(&fixture.step(Event::TaskDone {
            job,
            task,
            attempt,
            node,
            fuel: 0,
            wall_us,
            cached: false,
        })));
        if running.len() == 7 {
            break;
        }
    }
    // The tasks on node 1 end. Those on node 0 become late, and only node 1 has free slots.
    let (late, rest): (Vec<_>, Vec<_>) = running.into_iter().partition(|a| a.0 == node(0));
    rest.iter().for_each(|attempt| assert!(sent(&fixture.done(attempt)).is_empty()));
    assert!(late.len() >= 3 && sent(&fixture.after_ms(5_000)).is_empty(), "node 1 is too slow");
    fixture.step(Event::NodeUp { node: node(2), spec: NodeSpec::new(4, 1 << 30) });
    let copies = sent(&fixture.after_ms(1_000));
    assert!(copies.len() == late.len() && copies.iter().all(|a| a.0 == node(2)), "{copies:?}");
}

#[test]
fn all_stragglers_are_found_within_one_interval() {
    let mut fixture = Fixture::new(5, 400);
    let out = sent(&fixture.submit(plan(1, 2000)));
    assert_eq!(out.len(), 2000);
    for attempt in out.iter().filter(|a| a.0 != node(0)) {
        fixture.done(attempt);
    }
    let mut copies = sent(&fixture.after_ms(1900)).len();
    assert_eq!(copies, 0, "too early");
    for _ in 0..70 {
        copies += sent(&fixture.after_ms(10)).len();
    }
    assert_eq!(copies, 400, "more than one window of running tasks");
}

#[test]
fn a_node_that_is_slower_than_it_says_scores_less() {
    let mut fixture = Fixture::new(2, 4);
    let mut running = sent(&fixture.submit(plan(1, 200)));
    for _ in 0..100 {
        let (node, job, task, attempt) = running.remove(0);
        let wall_us = if node == super::node(0) { 80_000 } else { 10_000 };
        let done = Event::TaskDone { job, task, attempt, node, fuel: 0, wall_us, cached: false };
        running.extend(sent(&fixture.step(done)));
    }
    let ask = requirement();
    let speed = |fixture: &Fixture| -> Vec<f64> {
        let nodes = fixture.core.explain(&ask).nodes;
        nodes.iter().flat_map(|n| &n.scores).filter(|s| s.name == "Speed").map(|s| s.value).collect()
    };
    fixture.step(Event::Cancel { job: job(1) });
    let measured = speed(&fixture);
    assert!(measured[0] < measured[1] * 0.75, "{measured:?}");
    fixture.step(Event::NodeUp { node: node(0), spec: NodeSpec::new(4, 1 << 30) });
    assert_eq!(speed(&fixture)[0], 100.0, "it restarted");
}

#[test]
fn short_tasks_are_queued_deep_and_long_ones_are_not() {
    let mut fixture = Fixture::new(1, 2);
    fixture.core = Core::default();
    fixture.step(Event::NodeUp { node: node(0), spec: NodeSpec::new(2, 1 << 30) });
    let out = sent(&fixture.submit(plan(1, 10_000)));
    assert_eq!(out.len(), 4, "two per slot before anything is measured");
    let mut running = out;
    for _ in 0..200 {
        let attempt = running.remove(0);
        running.extend(sent(&fixture.done(&attempt)));
    }
    assert!(running.len() > 60, "{} of a millisecond each", running.len());
}

#[test]
fn explain_names_filters_scores_and_the_winner() {
    let mut fixture = Fixture::new(2, 4);
    fixture.step(Event::Cordon { node: node(0) });
    let ask = requirement();
    let answer = fixture.core.explain(&ask);
    assert_eq!(answer.winner, Some(node(1)));
    assert_eq!(answer.nodes[0].filters[0].reason, "the node is cordoned");
    assert_eq!(answer.nodes[1].scores.len(), 5);
    fixture.submit(SchedulableJob { cpu_slots: 64, ..plan(1, 1) });
    assert!(
        fixture.core.job(&job(1)).unwrap().why.contains("needs 64 slots, and the largest suitable ready node has 4")
    );
}

#[test]
fn evicting_a_node_fails_nothing_and_runs_its_work_elsewhere() {
    let mut fixture = Fixture::new(2, 1);
    let out = sent(&fixture.submit(plan(1, 2)));
    assert_eq!(out.len(), 2);
    let gone = out[0].0.clone();
    fixture.step(Event::Drain { node: gone.clone() });
    let actions = fixture.step(Event::Evict { node: gone.clone() });
    let stopped = |a: &Action| matches!(a, Action::Abort { node, task, .. } if *node == gone && *task == out[0].2);
    assert_eq!(actions.iter().filter(|a| stopped(a)).count(), 1, "{actions:?}");
    assert!(sent(&actions).is_empty(), "the other node is busy");
    assert_eq!(fixture.core.attempts_with(&gone), 0);
    let again = sent(&fixture.done(&out[1]));
    assert_eq!((again[0].0 == gone, again[0].2), (false, out[0].2));
    let view = fixture.core.job(&job(1)).unwrap();
    assert_eq!((view.tasks.failed, view.tasks.retries), (0, 0));
    assert_eq!(finished(&fixture.done(&again[0])), [JobOutcome::Succeeded]);
    // Evicting an empty node does nothing.
    assert!(fixture.step(Event::Evict { node: gone }).is_empty());
}
