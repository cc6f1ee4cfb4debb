//! Injects faults into fleets, round after round, until the time is up or a check fails.
//!
//! Each round is drawn from its own seed, which its line of output names; the next seed is derived from it.
//! `--seed S --rounds 1` repeats a round on a new fleet.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an interactive program")]

use anyhow::Result;
use clap::Parser;
use fabric_tests::faults::{Fault, Fleet, Round, Setup, Table, Work, namespaces_possible};
use futures::FutureExt as _;
use std::{
    cell::{Cell, RefCell},
    panic::AssertUnwindSafe,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Inject faults into a fleet, round after round, and check its invariants after each round
#[derive(Debug, Parser)]
struct Args {
    /// Duration of the run, in minutes
    #[arg(long, default_value_t = 60, value_name = "N")]
    minutes: u64,
    /// Maximum number of rounds [default: no maximum]
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
    rounds: u64,
    /// Seed of the first round, in hexadecimal as the output shows it [default: random]
    #[arg(long, value_parser = hexadecimal, value_name = "SEED")]
    seed: Option<u64>,
    /// Inject only this fault; may be repeated
    #[arg(long, value_enum, value_name = "NAME")]
    fault: Vec<Fault>,
    /// Number of fleets to run concurrently; most of a round is waiting
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8), value_name = "N")]
    fleets: u8,
    /// Number of NATS servers per fleet
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3), value_name = "N")]
    nats: u8,
    /// Give each process its own network namespace and address; needs root
    #[arg(long)]
    netns: bool,
    /// Extra arguments of every `fabric serve`, after `--`
    #[arg(last = true, value_name = "ARG")]
    serve: Vec<String>,
}

fn hexadecimal(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
}

impl Args {
    fn again(&self, round: &Round) -> String {
        let (seed, fault) = (round.seed, round.fault.name());
        // The seed selects from this list of faults, so the command repeats the list.
        let faults: String = self.fault.iter().map(|fault| format!(" --fault {}", fault.name())).collect();
        let netns = if self.netns { " --netns" } else { "" };
        let serve = if self.serve.is_empty() { String::new() } else { format!(" -- {}", self.serve.join(" ")) };
        let nats = self.nats;
        format!(
            "cargo run -p fabric-tests --bin soak -- --seed {seed:016x} --rounds 1 --nats {nats}{netns}{faults}{serve}   # {fault}"
        )
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // A signal drops the soak, which stops all processes.
    let ran = tokio::select! {
        ran = soak(&args) => ran,
        stopped = told_to_stop() => stopped.and(Err(anyhow::anyhow!("stopped by a signal"))),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn told_to_stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

/// State shared by the fleets of one soak.
struct Soak<'a> {
    args: &'a Args,
    faults: Vec<Fault>,
    until: Instant,
    begun: Cell<u64>,
    table: RefCell<Table>,
}

async fn soak(args: &Args) -> Result<()> {
    if args.netns {
        namespaces_possible()?;
    }
    let mut faults = if args.fault.is_empty() { Fault::all().to_vec() } else { args.fault.clone() };
    if args.nats == 1 {
        faults.retain(|fault| *fault != Fault::KillOneNats);
    }
    let begun = Instant::now();
    let until = begun + Duration::from_secs(args.minutes.saturating_mul(60));
    let soak = Soak { args, faults, until, begun: Cell::new(0), table: RefCell::default() };
    let mut seed = args.seed.unwrap_or_else(rand::random);
    let mut fleets = Vec::new();
    for n in 0..args.fleets {
        fleets.push(soak.fleet(n, seed));
        seed = seed.wrapping_add(1);
    }
    let passed = futures::future::try_join_all(fleets).await;
    let (rounds, table) = (soak.table.borrow().rounds(), soak.table.borrow());
    println!("\n{rounds} rounds passed in {:.0} min\n\n{table}", begun.elapsed().as_secs_f64() / 60.0);
    passed.map(|_| ())
}

impl Soak<'_> {
    /// Returns the number of the next round, or `None` after the last round or the deadline.
    fn next(&self) -> Option<u64> {
        let number = self.begun.get();
        self.begun.set(number + 1);
        (number < self.args.rounds && Instant::now() < self.until).then_some(number)
    }

    /// Runs rounds on one fleet until the rounds or the time are used up.
    async fn fleet(&self, n: u8, mut seed: u64) -> Result<()> {
        let args = self.args;
        let setup = Setup { seed, nats: usize::from(args.nats), namespaces: args.netns, args: args.serve.clone() };
        let mut fleet = Fleet::start(&setup).await?;
        fleet.furnish(&Work::LONG).await?;
        println!("fleet {n} is in {}", fleet.folder().display());
        for work in Work::LONG {
            let job = &fleet.undisturbed(work)?.job;
            println!("undisturbed: {work:?}, {} tasks, {:.1} s", job.tasks.total, job.run_ms as f64 / 1000.0);
        }
        while let Some(number) = self.next() {
            let round = Round::draw(seed, &self.faults, &Work::LONG)?;
            let again = args.again(&round);
            // A panic counts as a failed round.
            let ran = AssertUnwindSafe(round.run(&mut fleet)).catch_unwind().await;
            match ran.unwrap_or_else(|_| Err(anyhow::anyhow!("the round panicked"))) {
                Ok(outcome) => {
                    println!("round {number} {outcome}");
                    self.table.borrow_mut().add(&outcome);
                }
                Err(error) => {
                    let folder = fleet.keep();
                    let what = format!("round {number} failed; logs: {}\nrepeat it: {again}", folder.display());
                    return Err(error.context(what));
                }
            }
            seed = Round::seed_after(seed);
        }
        Ok(())
    }
}
