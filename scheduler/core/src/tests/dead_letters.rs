//! Tests of dead-lettered tasks.
use super::*;
use crate::{JobOutcome, RestoredTask};

fn dead(actions: &[Action]) -> Vec<(TaskId, Code)> {
    let dead = |a: &Action| match a {
        Action::TaskDead { task, code, .. } => Some((*task, *code)),
        _ => None,
    };
    actions.iter().filter_map(dead).collect()
}

#[test]
fn a_job_goes_on_without_as_many_tasks_as_it_allows() {
    let mut fixture = Fixture::new(1, 8);
    let out = sent(&fixture.submit(SchedulableJob { allow_failed: 2, reduce_fan_in: Some(2), ..plan(1, 6) }));
    for at in [2, 3] {
        assert_eq!(dead(&fixture.fail(&out[at], Code::OutOfFuel)), [(map(out[at].2.index), Code::OutOfFuel)]);
    }
    // Their reduce task has nothing to merge and is skipped. The other reduce tasks run.
    let mut reduces = sent(&fixture.done(&out[0]));
    for at in [1, 4, 5] {
        reduces.extend(sent(&fixture.done(&out[at])));
    }
    let at = |r: &(NodeId, JobId, TaskId, u32)| (r.2.stage, r.2.index);
    assert_eq!(reduces.iter().map(at).collect::<Vec<_>>(), [(1, 0), (1, 2)]);
    let view = fixture.core.job(&job(1)).unwrap();
    assert_eq!((view.tasks.dead, view.tasks.succeeded, view.tasks.retries), (2, 4, 0));
    let mut last = sent(&fixture.done(&reduces[0]));
    last.extend(sent(&fixture.done(&reduces[1])));
    let mut ends = Vec::new();
    while let Some(attempt) = last.pop() {
        let actions = fixture.done(&attempt);
        ends.extend(finished(&actions));
        last.extend(sent(&actions));
    }
    assert_eq!(ends, [JobOutcome::Succeeded]);
}

#[test]
fn one_more_than_allowed_fails_the_job() {
    let mut fixture = Fixture::new(1, 8);
    let out = sent(&fixture.submit(SchedulableJob { allow_failed: 1, ..plan(1, 3) }));
    assert_eq!(finished(&fixture.fail(&out[0], Code::OutOfFuel)), []);
    let actions = fixture.fail(&out[1], Code::TrapOther);
    assert_eq!(dead(&actions), [(map(1), Code::TrapOther)]);
    assert_eq!(finished(&actions), [JobOutcome::Failed { task: Some(map(1)), code: Code::TrapOther }]);
}

#[test]
fn attempts_are_used_up_before_a_task_is_given_up_on() {
    let mut fixture = Fixture::new(1, 8);
    let mut out = sent(&fixture.submit(SchedulableJob { allow_failed: 1, max_attempts: 2, ..plan(1, 1) }));
    assert_eq!(dead(&fixture.fail(&out[0], Code::FunctionRetryable)), []);
    out = sent(&fixture.after_ms(1000));
    let actions = fixture.fail(&out[0], Code::FunctionRetryable);
    assert_eq!((dead(&actions).len(), finished(&actions)), (1, vec![JobOutcome::Succeeded]));
    // A late result changes nothing.
    fixture.done(&out[0]);
}

#[test]
fn what_was_given_up_on_stays_so_after_a_takeover() {
    let mut fixture = Fixture::new(1, 8);
    let gone =
        RestoredTask { task: map(1), attempts: 4, done: false, cached: false, dead: true, killed: false, fuel: 0 };
    let out = sent(
        &fixture.step(Event::Restore { plan: SchedulableJob { allow_failed: 1, ..plan(1, 2) }, tasks: vec![gone] }),
    );
    assert_eq!(out.iter().map(|a| a.2).collect::<Vec<_>>(), [map(0)]);
    assert_eq!(finished(&fixture.done(&out[0])), [JobOutcome::Succeeded]);
}
