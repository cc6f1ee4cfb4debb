//! Usage of each node process under a growing number of concurrent guests. CPU and memory should rise on all nodes
//! alike.
//!
//! Each step runs one job of tasks that compute for about a second. Its `concurrency` is one higher than that of the
//! previous step.

use crate::{
    arguments::Arguments,
    figures::{short, table},
    fleet::{Fleet, Plan},
    machine,
    plot::{Line, Panel, svg},
    services,
};
use anyhow::{Context as _, ensure};
use fabric_client::PageOptions;
use fabric_types::job::JobSpec;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const NODES: usize = 3;
/// Sampling interval: half the interval at which a node reports its running guests, so that no report is missed.
const LOOK: Duration = Duration::from_millis(500);
/// Timeout for a step to reach its concurrency. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Usage of a node in a step: running guests, cores and MiB, as means over the step.
#[derive(Clone, Copy, Default)]
struct Used {
    running: f64,
    cores: f64,
    mib: f64,
}

/// Returns the number of guests on each node, as the API reports it.
async fn running(fleet: &Fleet) -> anyhow::Result<Vec<f64>> {
    let page = fleet.gateway()?.client.nodes(&PageOptions::default()).await?;
    let of = |name: &str| {
        page.items.iter().find(|n| n.facts.id.as_str() == name).map_or(0.0, |n| f64::from(n.facts.running))
    };
    Ok(fleet.nodes.iter().map(|(name, _)| of(name)).collect())
}

/// Samples the nodes for a while.
async fn watch(fleet: &Fleet, length: Duration) -> anyhow::Result<Vec<Used>> {
    let cpu = || fleet.nodes.iter().map(|(_, peer)| machine::cpu_us(peer.id())).collect::<Vec<_>>();
    let (before, began) = (cpu(), Instant::now());
    let (mut used, mut looks) = (vec![Used::default(); fleet.nodes.len()], 0.0);
    while began.elapsed() < length {
        tokio::time::sleep(LOOK).await;
        looks += 1.0;
        for ((used, (_, peer)), running) in used.iter_mut().zip(&fleet.nodes).zip(running(fleet).await?) {
            used.running += running;
            used.mib += machine::resident_mib(peer.id());
        }
    }
    let wall_us = began.elapsed().as_secs_f64() * 1e6;
    for (used, (before, after)) in used.iter_mut().zip(before.into_iter().zip(cpu())) {
        *used = Used { running: used.running / looks, cores: (after - before) / wall_us, mib: used.mib / looks };
    }
    Ok(used)
}

/// Runs one job with this concurrency, samples the nodes, then cancels it.
async fn step(fleet: &Fleet, concurrency: usize, samples: u64, length: Duration) -> anyhow::Result<Vec<Used>> {
    // More tasks than can end during the step.
    let items: Vec<_> = (0..2_000).map(|seed| serde_json::json!({ "seed": seed, "samples": samples })).collect();
    let spec = serde_json::json!({
        "function": "montecarlo-pi", "cache": false, "concurrency": concurrency, "input": { "items": items },
    });
    let spec: JobSpec = serde_json::from_value(spec)?;
    let client = &fleet.gateway()?.client;
    let job = client.submit(&spec, None).await?.id.to_string();
    let full = async {
        while running(fleet).await?.iter().sum::<f64>() < concurrency as f64 {
            ensure!(!client.job(&job, None).await?.state.is_terminal(), "the job ended: increase --samples");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    let full = tokio::time::timeout(PATIENCE, full).await;
    full.with_context(|| format!("{concurrency} guests at once were not reached: increase --samples"))??;
    let used = watch(fleet, length).await?;
    let ended = client.job(&job, None).await?;
    ensure!(!ended.state.is_terminal(), "the job ended while it was watched: {}; increase --samples", ended.remark);
    client.cancel_job(&job).await?;
    client.wait_job(&job).await?;
    let idle = async {
        while running(fleet).await?.iter().sum::<f64>() > 0.0 {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, idle).await.context("guests of a cancelled job still run")??;
    Ok(used)
}

/// Returns the path of the plot. Checked first, because the measurement takes long.
fn plot_path(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let path: PathBuf = arguments.get("svg", "benches/results/balance.svg".to_owned())?.into();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "{} is not a folder; set the path of the plot with --svg FILE", folder.display());
    Ok(path)
}

fn panel(title: &str, unit: &str, steps: &[Vec<Used>], get: fn(&Used) -> f64) -> Panel {
    let lines = (0..NODES).map(|node| Line {
        name: format!("node-{}", node + 1),
        points: steps
            .iter()
            .filter_map(|step| Some((step.iter().map(|used| used.running).sum(), get(step.get(node)?))))
            .collect(),
    });
    Panel { title: title.to_owned(), unit: unit.to_owned(), lines: lines.collect() }
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (slots, seconds) = (arguments.get("slots", 4_usize)?, arguments.get("seconds", 5_u64)?);
    let samples = arguments.get("samples", 20_000_000_u64)?;
    ensure!(slots > 0 && seconds > 0, "--slots and --seconds are at least 1");
    let (path, store) = (plot_path(arguments)?, services::store(arguments)?);
    println!("## fleet-balance\n\n{}\n", machine::line());
    let owner = Plan { name: "owner".to_owned(), role: "gateway,scheduler", slots: 0 };
    let node = |n| Plan { name: format!("node-{n}"), role: "node", slots };
    let plans: Vec<_> = std::iter::once(owner).chain((1..=NODES).map(node)).collect();
    let fleet = Fleet::start(arguments, &plans).await?;
    fleet.gateway()?.deploy(arguments, "montecarlo-pi", "").await?;
    let length = Duration::from_secs(seconds);
    // A warm-up step, so that every node has compiled the module and run it once. Then the idle nodes are sampled.
    step(&fleet, NODES * slots, samples, Duration::from_secs(1)).await?;
    let mut steps = vec![watch(&fleet, length).await?];
    for concurrency in 1..=NODES * slots {
        let used = step(&fleet, concurrency, samples, length).await?;
        let cores: Vec<_> = used.iter().map(|used| short(used.cores)).collect();
        eprintln!("{concurrency} at once: {} cores", cores.join(", "));
        steps.push(used);
    }
    let each =
        |step: &[Used], get: fn(&Used) -> f64| step.iter().map(|used| short(get(used))).collect::<Vec<_>>().join(" / ");
    let rows: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(concurrency, step)| {
            let all = |get: fn(&Used) -> f64| short(step.iter().map(get).sum());
            vec![
                concurrency.to_string(),
                all(|u| u.running),
                each(step, |u| u.running),
                each(step, |u| u.cores),
                all(|u| u.cores),
                each(step, |u| u.mib),
            ]
        })
        .collect();
    println!(
        "{NODES} node processes of {slots} slots on one machine, tasks of {samples} points of montecarlo-pi, {seconds} s for each \
         step; means. The store is {store}.\n"
    );
    let head =
        ["concurrency", "running, API", "each node", "cores, each node", "cores, all", "resident MiB, each node"];
    println!("{}", table(&head, &rows));
    let panels = [
        panel("CPU of each node process", "cores", &steps, |used| used.cores),
        panel("Resident memory of each node process", "MiB", &steps, |used| used.mib),
    ];
    std::fs::write(&path, svg(&panels, "running instances, all nodes")).with_context(|| path.display().to_string())?;
    println!("The plot is in {}.", path.display());
    Ok(())
}
