//! Tasks in a fleet against the embedded fabric. A fleet has an owner of the jobs and 1, 2 or 4 node processes with one
//! slot each, over NATS and a shared store.
//!
//! The embedded fabric has as many slots as the machine has CPUs. Each round starts all of them again with empty
//! stores, so that no round has more stored results than another.

use crate::{
    arguments::Arguments,
    figures::{median, short, spread, table},
    fleet::{Fleet, Plan},
    machine,
    server::Server,
    services,
};
use anyhow::ensure;
use fabric_types::job::{JobSpec, JobState};
use std::time::Instant;

/// Number of tasks that warm up the instance pools and connections.
const WARM_UP: usize = 1_000;

/// Samples of one system: tasks per second, and CPU µs per task of the fabric, of NATS and of the S3 server.
#[derive(Default)]
struct Column([Vec<f64>; 4]);

impl Column {
    fn add(&mut self, tasks: usize, wall_s: f64, before: [f64; 3], after: [f64; 3]) {
        let tasks = tasks as f64;
        let [rate, cpu @ ..] = &mut self.0;
        rate.push(tasks / wall_s);
        for (values, (before, after)) in cpu.iter_mut().zip(before.into_iter().zip(after)) {
            values.push((after - before) / tasks);
        }
    }
}

async fn job(server: &Server, first: usize, tasks: usize) -> anyhow::Result<f64> {
    let items: Vec<usize> = (first..first + tasks).collect();
    let spec: JobSpec = serde_json::from_value(serde_json::json!({ "function": "noop", "input": { "items": items } }))?;
    let began = Instant::now();
    let job = server.client.submit(&spec, None).await?;
    let job = server.client.wait_job(job.id.as_str()).await?;
    ensure!(job.state == JobState::Succeeded, "{}", job.remark);
    ensure!(job.tasks.cached == 0, "the cache answered");
    Ok(began.elapsed().as_secs_f64())
}

/// Deploys, warms up, and measures one job.
async fn measure(
    arguments: &Arguments,
    server: &Server,
    tasks: usize,
    cpu: impl Fn() -> [f64; 3],
    column: &mut Column,
) -> anyhow::Result<()> {
    server.deploy(arguments, "noop", "").await?;
    job(server, usize::MAX / 2, WARM_UP).await?;
    let before = cpu();
    let wall_s = job(server, 0, tasks).await?;
    column.add(tasks, wall_s, before, cpu());
    Ok(())
}

fn plans(nodes: usize) -> Vec<Plan> {
    let node = |n| Plan { name: format!("node-{n}"), role: "node", slots: 1 };
    let owner = Plan { name: "owner".to_owned(), role: "gateway,scheduler", slots: 0 };
    std::iter::once(owner).chain((1..=nodes).map(node)).collect()
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (tasks, rounds) = (arguments.get("tasks", 50_000_usize)?, arguments.get("rounds", 3_usize)?);
    let store = services::store(arguments)?;
    println!("## fleet-tasks\n\n{}\n", machine::line());
    let sizes = [1, 2, 4];
    let (mut embedded, mut fleets) = (Column::default(), sizes.map(|_| Column::default()));
    for round in 0..rounds {
        let folder = tempfile::tempdir_in(arguments.data()?)?;
        let server = Server::start(arguments, folder.path()).await?;
        let cpu = || [machine::cpu_us(server.id()), 0.0, 0.0];
        measure(arguments, &server, tasks, cpu, &mut embedded).await?;
        server.stop();
        for (nodes, column) in sizes.iter().zip(&mut fleets) {
            let fleet = Fleet::start(arguments, &plans(*nodes)).await?;
            measure(arguments, fleet.gateway()?, tasks, || fleet.cpu_us(), column).await?;
        }
        let last = |column: &Column| column.0.first().and_then(|rates| rates.last().copied()).unwrap_or(0.0);
        let rates: Vec<_> = fleets.iter().map(|column| format!("{:.0}/s", last(column))).collect();
        eprintln!("round {round}: embedded {:.0}/s, fleets of {sizes:?}: {}", last(&embedded), rates.join(", "));
    }
    let [base_rate, base_cpu, ..] = embedded.0.each_ref().map(|values| median(values));
    let row = |name: String, Column([rate, own, nats, s3]): &Column| {
        let ratios = [short(median(rate) / base_rate), short(median(own) / base_cpu)];
        let figures = [rate, own, nats, s3].map(|values| spread(values));
        std::iter::once(name).chain(figures).chain(ratios).collect::<Vec<_>>()
    };
    let mut rows = vec![row("embedded, a slot for each CPU".to_owned(), &embedded)];
    for (nodes, column) in sizes.iter().zip(&fleets) {
        rows.push(row(format!("owner and {nodes} node processes of one slot"), column));
    }
    println!("One job of {tasks} tasks of `noop`; the fleet's store is {store}.\n");
    let head = [
        "noop",
        "tasks/s",
        "CPU µs per task, all fabric processes",
        "NATS server",
        "S3 server",
        "tasks/s ÷ embedded",
        "CPU ÷ embedded",
    ];
    println!("{}", table(&head, &rows));
    Ok(())
}
