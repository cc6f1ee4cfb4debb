//! A task through the fabric (dispatch, fresh instance, call, commit) against bare wasmtime calling the same component.
//!
//! Both use as many threads as the machine has cores, so that caches and sibling threads affect both equally.

use crate::{
    arguments::Arguments,
    bare::{self, Bare},
    figures::{median, short, spread, table},
    machine,
    server::Server,
};
use anyhow::ensure;
use fabric_types::job::{JobSpec, JobState};
use std::{sync::Arc, time::Instant};

/// CPU microseconds of one call, and calls per second.
struct Round {
    cpu_us: f64,
    per_second: f64,
}

fn bare_round(module: &Arc<Bare>, threads: usize, calls: usize) -> anyhow::Result<Round> {
    let began = Instant::now();
    let each = calls / threads;
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let module = module.clone();
            std::thread::spawn(move || -> anyhow::Result<f64> {
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                runtime.block_on(async {
                    let before = machine::thread_cpu_us();
                    for _ in 0..each {
                        ensure!(module.map(None, 0..0).await? == b"0", "noop returned other bytes");
                    }
                    Ok(machine::thread_cpu_us() - before)
                })
            })
        })
        .collect();
    let mut cpu_us = 0.0;
    for worker in workers {
        cpu_us += worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    let done = (each * threads) as f64;
    Ok(Round { cpu_us: cpu_us / done, per_second: done / began.elapsed().as_secs_f64() })
}

async fn fabric_round(server: &Server, first: usize, tasks: usize) -> anyhow::Result<(Round, f64)> {
    let items: Vec<usize> = (first..first + tasks).collect();
    let spec: JobSpec = serde_json::from_value(serde_json::json!({ "function": "noop", "input": { "items": items } }))?;
    let (before, began) = (machine::cpu_us(server.id()), Instant::now());
    let job = server.client.submit(&spec, None).await?;
    let job = server.client.wait_job(job.id.as_str()).await?;
    let (wall, cpu) = (began.elapsed(), machine::cpu_us(server.id()) - before);
    ensure!(job.state == JobState::Succeeded, "{}", job.remark);
    ensure!(job.tasks.cached == 0, "the cache answered");
    let tasks = tasks as f64;
    let round = Round { cpu_us: cpu / tasks, per_second: tasks / wall.as_secs_f64() };
    Ok((round, job.cost.wall_us as f64 / tasks))
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (tasks, rounds) = (arguments.get("tasks", 100_000_usize)?, arguments.get("rounds", 3_usize)?);
    println!("## task-cost\n\n{}\n", machine::line());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let module = arguments.guest("noop")?;
    let bare = Arc::new(Bare::new(&bare::settings(), true, &module)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(arguments, folder.path()).await?;
    server.deploy(arguments, "noop", "").await?;
    // Warm up the pools of both.
    fabric_round(&server, usize::MAX / 2, 2_000).await?;
    bare_round(&bare, threads, 2_000)?;
    let (mut ours, mut theirs, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        theirs.push(bare_round(&bare, threads, tasks)?);
        let (figures, guest_us) = fabric_round(&server, round * tasks, tasks).await?;
        eprintln!("round {round}: {:.1} us, {:.0}/s", figures.cpu_us, figures.per_second);
        ours.push(figures);
        inside.push(guest_us);
    }
    let column = |rounds: &[Round], get: fn(&Round) -> f64| rounds.iter().map(get).collect::<Vec<_>>();
    let (ours_cpu, theirs_cpu) = (column(&ours, |r| r.cpu_us), column(&theirs, |r| r.cpu_us));
    let row = |name: &str, cpu: &[f64], rate: Vec<f64>| vec![name.to_owned(), spread(cpu), spread(&rate)];
    let rows = [
        row(&format!("bare wasmtime, {threads} threads"), &theirs_cpu, column(&theirs, |r| r.per_second)),
        row(&format!("fabric, one job of {tasks} tasks"), &ours_cpu, column(&ours, |r| r.per_second)),
    ];
    println!("{}", table(&["noop", "CPU µs per task", "tasks/s"], &rows));
    let extra = median(&ours_cpu) - median(&theirs_cpu);
    println!(
        "Extra CPU per task: {} µs (target: at most 20). Wall clock inside the sandbox: {} µs per task.",
        short(extra),
        spread(&inside)
    );
    let by_thread = machine::cpu_by_thread(server.id());
    let all = (rounds * tasks + 2_000) as f64;
    let parts: Vec<_> =
        by_thread.iter().filter(|(_, us)| *us > 0.0).map(|(name, us)| format!("{name} {}", short(us / all))).collect();
    println!(
        "Server CPU µs per task by thread: {}. Resident after: {} MiB.",
        parts.join(", "),
        short(machine::resident_mib(server.id()))
    );
    server.stop();
    Ok(())
}
