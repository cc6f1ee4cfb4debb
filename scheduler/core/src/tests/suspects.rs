//! Tests of tasks that were running on a process when it died.
use super::*;
use crate::{JobOutcome, RestoredTask};

impl Fixture {
    /// Kills the node's process while it runs these tasks of job 1, and restarts it.
    fn dies(&mut self, n: u32, tasks: &[u32]) -> Vec<Action> {
        let alone = tasks.len() == 1;
        let mut events: Vec<_> =
            tasks.iter().map(|index| Event::Killed { job: job(1), task: map(*index), alone }).collect();
        events.push(Event::NodeUp { node: node(n), spec: NodeSpec::new(4, 1 << 30) });
        let mut actions = Vec::new();
        self.core.step_all(events, Time(self.now), &mut actions);
        self.core.invariants().unwrap();
        actions.extend(self.after_ms(1000));
        actions
    }
}

fn tasks(actions: &[Action]) -> Vec<u32> {
    sent(actions).iter().map(|a| a.2.index).collect()
}

#[test]
fn after_a_death_each_suspect_runs_alone_and_the_second_death_names_the_killer() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(SchedulableJob { allow_failed: 1, ..plan(1, 6) });
    let first = fixture.dies(0, &[0, 1, 2, 3]);
    assert_eq!(sent(&first).len(), 1, "nothing else next to it");
    let innocent = sent(&first).remove(0);
    let next = fixture.done(&innocent);
    assert_eq!(sent(&next).len(), 1);
    let killer = sent(&next).remove(0).2;
    let dead = fixture.dies(0, &[killer.index]);
    let letters: Vec<_> = dead.iter().filter(|a| matches!(a, Action::TaskDead { .. })).collect();
    assert_eq!(letters, [&Action::TaskDead { job: job(1), task: killer, code: Code::ProcessKilled }]);
    let mut running = sent(&dead);
    let mut end = Vec::new();
    while let Some(attempt) = running.pop() {
        let actions = fixture.done(&attempt);
        running.extend(sent(&actions));
        end.extend(finished(&actions));
    }
    assert_eq!(end, [JobOutcome::Succeeded]);
    assert_eq!(fixture.core.stats().killed, 1);
}

#[test]
fn a_killer_ends_its_job_where_nothing_may_fail_and_others_go_on() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(plan(1, 1));
    let other = sent(&fixture.submit(SchedulableJob { tenant: tenant("other"), ..plan(2, 8) }));
    assert_eq!(other.len(), 3);
    fixture.dies(0, &[0, 1]);
    let end = finished(&fixture.dies(0, &[0]));
    assert_eq!(end, [JobOutcome::Failed { task: Some(map(0)), code: Code::ProcessKilled }]);
    assert_eq!(fixture.core.job(&job(2)).unwrap().tasks.running, 4, "the others have their slots back");
}

#[test]
fn deaths_in_company_convict_nobody_until_there_are_many() {
    let mut fixture = Fixture::new(2, 2);
    fixture.submit(plan(1, 2));
    for _ in 0..5 {
        assert_eq!(finished(&fixture.dies(0, &[0, 1])), []);
    }
    let end = finished(&fixture.dies(0, &[0, 1]));
    assert_eq!(end.len(), 1);
}

#[test]
fn a_suspect_waits_for_an_emptied_node_and_no_longer_than_it_may() {
    let mut fixture = Fixture::new(2, 2);
    let out = sent(&fixture.submit(plan(1, 40)));
    assert_eq!(out.len(), 4);
    // The work on node 0 is lost with it. Node 1 is busy, so node 0 runs the suspect and nothing else.
    let after = fixture.dies(0, &[out.iter().find(|a| a.0 == node(0)).unwrap().2.index]);
    let alone: Vec<_> = sent(&after).into_iter().filter(|a| a.0 == node(0)).collect();
    assert_eq!(alone.len(), 1);
    assert!(fixture.core.explain(&super::placement::requirement()).nodes[0].filters[0].reason.contains("alone"));
    // The suspect runs for long, so other work arrives after its exclusive period.
    let beside = tasks(&fixture.after_ms(10_000));
    assert!(!beside.is_empty());
    // Another suspect of a busy fleet: one node receives no new work.
    fixture.step(Event::Killed { job: job(1), task: map(39), alone: false });
    let mut sent_since = Vec::new();
    for _ in 0..35 {
        for n in 0..2 {
            fixture.step(Event::Heartbeat { node: node(n) });
        }
        sent_since.extend(tasks(&fixture.after_ms(1000)));
    }
    assert!(!sent_since.contains(&39), "both nodes are full of work that does not end: {sent_since:?}");
    let busy: Vec<_> = out.iter().filter(|a| a.0 == node(1)).cloned().collect();
    let next: Vec<_> = busy.iter().flat_map(|attempt| tasks(&fixture.done(attempt))).collect();
    assert!(next.contains(&39), "{next:?}");
}

#[test]
fn a_straggler_of_a_silent_node_is_not_tried_on_the_next_one() {
    let copies = |silent: bool| {
        let mut fixture = Fixture::new(2, 4);
        let config =
            crate::Config { initial_depth: 1, max_depth: 1, straggler_silence_us: 1_500_000, ..Default::default() };
        fixture.core = Core::new(config);
        (0..2).for_each(|n| drop(fixture.step(Event::NodeUp { node: node(n), spec: NodeSpec::new(4, 1 << 30) })));
        let out = sent(&fixture.submit(plan(1, 8)));
        out[..7].iter().for_each(|attempt| drop(fixture.done(attempt)));
        let mut copies = 0;
        for _ in 0..8 {
            if !silent {
                fixture.step(Event::Heartbeat { node: out[7].0.clone() });
            }
            copies += sent(&fixture.after_ms(600)).len();
        }
        copies
    };
    assert_eq!((copies(true), copies(false)), (0, 1));
}

#[test]
fn a_death_that_was_none_is_taken_back() {
    let mut fixture = Fixture::new(1, 4);
    let out = sent(&fixture.submit(plan(1, 3)));
    fixture.step(Event::Killed { job: job(1), task: map(0), alone: false });
    fixture.step(Event::NodeDown { node: node(0) });
    fixture.step(Event::KilledReverted { job: job(1), task: map(0) });
    let mut again = sent(&fixture.step(Event::NodeUp { node: node(0), spec: NodeSpec::new(4, 1 << 30) }));
    again.extend(sent(&fixture.after_ms(1000)));
    assert_eq!(again.len(), out.len(), "together, as before");
    assert_eq!(finished(&fixture.step(Event::Killed { job: job(1), task: map(0), alone: true })), []);
}

#[test]
fn more_killers_than_a_job_may_have_end_it() {
    let mut fixture = Fixture::new(1, 1);
    let done = |index| RestoredTask {
        task: map(index),
        attempts: 2,
        done: false,
        cached: false,
        dead: true,
        killed: true,
        fuel: 0,
    };
    let plan = SchedulableJob { allow_failed: 100, ..plan(1, 10) };
    fixture.step(Event::Restore { plan, tasks: (0..4).map(done).collect() });
    fixture.step(Event::Killed { job: job(1), task: map(7), alone: true });
    let end = finished(&fixture.step(Event::Killed { job: job(1), task: map(7), alone: true }));
    assert_eq!(end, [JobOutcome::Failed { task: Some(map(7)), code: Code::ProcessKilled }]);
}

#[test]
fn a_reduce_that_kills_is_held_back_before_its_inputs_are_known_too() {
    let mut fixture = Fixture::new(1, 4);
    let out = sent(&fixture.submit(SchedulableJob { reduce_fan_in: Some(2), ..plan(1, 2) }));
    let reduce = TaskId { stage: 1, index: 0 };
    fixture.step(Event::Killed { job: job(1), task: reduce, alone: true });
    fixture.done(&out[0]);
    let last = sent(&fixture.done(&out[1]));
    assert_eq!(last[0].2, reduce);
    let end = finished(&fixture.step(Event::Killed { job: job(1), task: reduce, alone: true }));
    assert_eq!(end, [JobOutcome::Failed { task: Some(reduce), code: Code::ProcessKilled }]);
}
