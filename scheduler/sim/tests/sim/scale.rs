//! Small versions of large fleets: the schedule is near the best one, and the report is deterministic.

use fabric_sim::scale::{Scale, ScaleReport, run};

/// Returns a fleet with 222 tasks per slot, as 10 million tasks on 10,000 nodes have.
fn small() -> Scale {
    Scale { nodes: 60, tasks: 60_000, ..Scale::default() }
}

fn untimed(report: ScaleReport) -> ScaleReport {
    ScaleReport { wall_s: 0.0, cpu_s: 0.0, core_s: 0.0, decisions_per_s: 0.0, ..report }
}

#[test]
fn the_schedule_is_near_the_best_one() {
    for scale in [small(), Scale { jobs: 7, seed: 2, ..small() }, Scale { failures: 1000, ..small() }] {
        let report = run(&scale).unwrap();
        assert!(report.ratio >= 1.0 && report.decisions >= u64::from(scale.tasks), "{report:#?}");
        assert!(report.ratio < 1.06 || scale.failures > 10, "{report:#?}");
        assert!(report.ratio < 1.2, "{report:#?}");
    }
}

#[test]
fn slots_do_not_idle_for_round_trips_between_short_tasks() {
    let report = run(&Scale { work_ms: 200, slow_nodes: 0, failures: 0, ..small() }).unwrap();
    assert!(report.idle < 0.05, "{report:#?}");
}

#[test]
fn slow_nodes_do_not_hold_the_end() {
    // A tenth of the nodes is 30 times slower than announced. That costs their part of the speed, but not the time of
    // their slowest task.
    let report = run(&Scale { slow_nodes: 100, slowdown: 30, ..small() }).unwrap();
    assert!(report.copies > 0 && report.ratio < 1.25, "{report:#?}");
}

#[test]
fn the_same_options_give_the_same_report() {
    let scale = Scale { nodes: 20, tasks: 5_000, jobs: 3, slow_attempts: 20, failures: 500, ..Scale::default() };
    assert_eq!(untimed(run(&scale).unwrap()), untimed(run(&scale).unwrap()));
}

#[test]
fn what_can_not_be_played_is_refused() {
    let bad = [
        Scale { nodes: 0, ..small() },
        Scale { tasks: 0, ..small() },
        Scale { jobs: 0, ..small() },
        Scale { work_ms: 0, ..small() },
        Scale { failures: 1001, ..small() },
        Scale { slowdown: 0, ..small() },
    ];
    for scale in bad {
        let why = run(&scale).unwrap_err();
        assert!(why.contains("give"), "{why}");
    }
}
