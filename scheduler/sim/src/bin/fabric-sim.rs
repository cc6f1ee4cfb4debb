//! Runs the simulation and prints tables.
//!
//! `cargo run --release -p fabric-sim -- scale --nodes 1000,10000 --tasks 1000000` simulates large fleets,
//! `… -- faults --seeds 1000` simulates small fleets with many faults, and `… -- faults --seed 20` repeats one of them.

use clap::{Args, Parser, Subcommand};
use fabric_sim::{
    Scenario, run,
    scale::{self, Scale},
};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Simulates fleets around the production scheduler.
#[derive(Parser)]
#[command(name = "fabric-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulates small fleets with many faults, and checks the invariants.
    Faults(Faults),
    /// Simulates a large fleet: the cost of a decision, and the makespan compared with the best one.
    Scale(Fleets),
}

#[derive(Args)]
struct Faults {
    /// Number of worlds to simulate
    #[arg(long, default_value_t = 20, conflicts_with = "seed")]
    seeds: u64,
    /// Seed of the first world
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Simulate only the world of this seed
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
struct Fleets {
    /// Nodes; a comma-separated list is simulated one by one
    #[arg(long, value_delimiter = ',', default_value = "10000")]
    nodes: Vec<u32>,
    /// Tasks over all jobs; a comma-separated list is simulated one by one
    #[arg(long, value_delimiter = ',', default_value = "10000000")]
    tasks: Vec<u32>,
    /// Jobs that share the tasks, each of its own tenant
    #[arg(long, default_value_t = 1)]
    jobs: u32,
    /// Mean work of a task in milliseconds, on a node of speed 1
    #[arg(long, default_value_t = 10_000)]
    work_ms: u64,
    /// Nodes per thousand that die per hour
    #[arg(long, default_value_t = 10)]
    failures: u32,
    /// Nodes per thousand that are slower than announced
    #[arg(long, default_value_t = 20)]
    slow_nodes: u32,
    /// Attempts per thousand that are slower than expected
    #[arg(long, default_value_t = 0)]
    slow_attempts: u32,
    /// Factor by which these nodes and attempts are slower
    #[arg(long, default_value_t = 10)]
    slowdown: u32,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Faults(faults) => play(&faults),
        Command::Scale(fleets) => measure(&fleets),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `true` if every world kept the invariants.
fn play(faults: &Faults) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>6} {:>12} {:>12} {:>6} {:>9} {:>9} {:>8}",
        "seed", "makespan ms", "bound ms", "ratio", "decisions", "commits", "repeats"
    )?;
    let seeds = match faults.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => faults.from..faults.from.saturating_add(faults.seeds),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        match run(seed, &Scenario::varied(seed)) {
            Ok(r) => writeln!(
                out,
                "{seed:>6} {:>12} {:>12} {:>5}% {:>9} {:>9} {:>8}",
                r.makespan_us / 1000,
                r.lower_bound_us / 1000,
                r.makespan_us * 100 / r.lower_bound_us.max(1),
                r.decisions,
                r.commits,
                r.repeats
            )?,
            Err(why) => {
                writeln!(out, "{seed:>6} FAILED {why}")?;
                failed.push(seed);
            }
        }
    }
    for seed in &failed {
        writeln!(io::stderr(), "hint: repeat it with `cargo run -p fabric-sim -- faults --seed {seed}`")?;
    }
    Ok(failed.is_empty())
}

/// Returns `true` if every fleet ran to its end.
fn measure(fleets: &Fleets) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    if !fleets.json {
        writeln!(
            out,
            "{:>7} {:>10} {:>5} {:>11} {:>11} {:>6} {:>6} {:>7} {:>7} {:>8} {:>8} {:>11} {:>8} {:>9}",
            "nodes",
            "tasks",
            "jobs",
            "makespan s",
            "bound s",
            "ratio",
            "idle",
            "wasted",
            "copies",
            "wall s",
            "core s",
            "decisions/s",
            "µs each",
            "peak MiB"
        )?;
    }
    for nodes in &fleets.nodes {
        for tasks in &fleets.tasks {
            let scale = Scale {
                seed: fleets.seed,
                nodes: *nodes,
                tasks: *tasks,
                jobs: fleets.jobs,
                work_ms: fleets.work_ms,
                failures: fleets.failures,
                slow_nodes: fleets.slow_nodes,
                slow_attempts: fleets.slow_attempts,
                slowdown: fleets.slowdown,
            };
            scale::reset_peak();
            match scale::run(&scale) {
                Ok(report) => row(&mut out, &report, fleets.json)?,
                Err(why) => {
                    writeln!(io::stderr(), "error: {nodes} nodes, {tasks} tasks: {why}")?;
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

fn row(out: &mut impl Write, r: &scale::ScaleReport, json: bool) -> io::Result<()> {
    let peak = scale::peak_bytes();
    if json {
        let mut value = serde_json::to_value(r)?;
        if let (Some(object), Some(peak)) = (value.as_object_mut(), peak) {
            object.insert("peak_bytes".to_owned(), peak.into());
        }
        return writeln!(out, "{value}");
    }
    writeln!(
        out,
        "{:>7} {:>10} {:>5} {:>11.1} {:>11.1} {:>6.3} {:>5.1}% {:>6.1}% {:>7} {:>8.1} {:>8.1} {:>11.0} {:>8.2} {:>9}",
        r.nodes,
        r.tasks,
        r.jobs,
        r.makespan_s,
        r.bound_s,
        r.ratio,
        r.idle * 100.0,
        r.wasted * 100.0,
        r.copies,
        r.wall_s,
        r.core_s,
        r.decisions_per_s,
        1e6 / r.decisions_per_s,
        peak.map_or_else(|| "?".to_owned(), |p| (p >> 20).to_string()),
    )?;
    out.flush()
}
