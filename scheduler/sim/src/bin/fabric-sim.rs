//! Runs the simulation and prints tables: `cargo run --release -p fabric-sim -- scale --nodes 1000,10000 --tasks 1000000`
//! for large fleets, `… -- faults --seeds 1000` for small ones in which everything goes wrong, `… -- faults --seed 20` to
//! repeat one of those.

use clap::{Args, Parser, Subcommand};
use fabric_sim::{
    Scenario, run,
    scale::{self, Scale},
};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Simulates fleets around the scheduler that serves.
#[derive(Parser)]
#[command(name = "fabric-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Small fleets in which everything goes wrong; every step is checked.
    Faults(Faults),
    /// A large fleet: what a decision costs, and how near the schedule comes to the best one.
    Scale(Fleets),
}

#[derive(Args)]
struct Faults {
    /// Worlds to play, from the first one on
    #[arg(long, default_value_t = 20, conflicts_with = "seed")]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Only this world
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
struct Fleets {
    /// Nodes; several, separated by commas, are played one after the other
    #[arg(long, value_delimiter = ',', default_value = "10000")]
    nodes: Vec<u32>,
    /// Tasks over all jobs; several, separated by commas, are played one after the other
    #[arg(long, value_delimiter = ',', default_value = "10000000")]
    tasks: Vec<u32>,
    /// Jobs that share the tasks, each of its own tenant
    #[arg(long, default_value_t = 1)]
    jobs: u32,
    /// Mean work of a task in milliseconds, on a node of speed 1
    #[arg(long, default_value_t = 10_000)]
    work_ms: u64,
    /// Nodes of a thousand that die in an hour
    #[arg(long, default_value_t = 10)]
    failures: u32,
    /// Nodes of a thousand that are slower than they say
    #[arg(long, default_value_t = 20)]
    slow_nodes: u32,
    /// Attempts of a thousand that are slower than they should be
    #[arg(long, default_value_t = 0)]
    slow_attempts: u32,
    /// How many times slower these are
    #[arg(long, default_value_t = 10)]
    slowdown: u32,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object per line
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

/// Says whether every world kept the invariants.
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

/// Says whether every fleet came to its end.
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

fn row(out: &mut impl Write, r: &scale::Report, json: bool) -> io::Result<()> {
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
