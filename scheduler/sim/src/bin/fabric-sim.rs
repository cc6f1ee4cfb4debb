//! Runs simulated worlds and prints a table: `cargo run -p fabric-sim -- --seeds 1000 --nodes 100 --tasks 10000`.
//! Without `--nodes` or `--tasks` each seed has its own, varied world.

use fabric_sim::{Scenario, run};
use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| {
        args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).and_then(|v| v.parse::<u32>().ok())
    };
    let (seeds, nodes, tasks) = (flag("--seeds").unwrap_or(20), flag("--nodes"), flag("--tasks"));
    let mut out = std::io::stdout().lock();
    let mut ok = true;
    let _ = writeln!(
        out,
        "{:>6} {:>12} {:>12} {:>6} {:>9} {:>9} {:>8}",
        "seed", "makespan ms", "bound ms", "ratio", "decisions", "commits", "repeats"
    );
    for seed in 0..u64::from(seeds) {
        let mut scenario = Scenario::varied(seed);
        if nodes.is_some() || tasks.is_some() {
            let base = Scenario { jobs: 1, tenants: 1, ..Scenario::default() };
            scenario = Scenario { nodes: nodes.unwrap_or(base.nodes), tasks: tasks.unwrap_or(base.tasks), ..base };
        }
        let line = match run(seed, &scenario) {
            Ok(r) => {
                let ratio = r.makespan_us * 100 / r.lower_bound_us.max(1);
                format!(
                    "{seed:>6} {:>12} {:>12} {:>5}% {:>9} {:>9} {:>8}",
                    r.makespan_us / 1000,
                    r.lower_bound_us / 1000,
                    ratio,
                    r.decisions,
                    r.commits,
                    r.repeats
                )
            }
            Err(why) => {
                ok = false;
                format!("FAILED {why}")
            }
        };
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
