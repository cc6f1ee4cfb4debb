//! Word count over one large object: the fabric on all cores, one native thread, and the guest in bare wasmtime.
//!
//! There are two native counts: one with the guest's own hash table compiled natively, the strictest peer, and one with
//! the standard library's hash map, as most programs would do.

use crate::{
    arguments::Arguments,
    bare::{self, Bare, Text},
    figures::{median, short, spread, table},
    machine,
    server::Server,
    text,
};
use anyhow::{Context as _, ensure};
use fabric_client::{Upload, UploadOptions};
use fabric_types::job::{JobSpec, JobState};
use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

#[allow(dead_code, missing_docs, clippy::indexing_slicing)]
#[path = "../../examples/wordcount/src/table.rs"]
mod guests_table;
use guests_table::Table;

const PARTITION: usize = 8 << 20;

/// Wall seconds, words, different words.
type Counted = (f64, u64, usize);

/// Reads the file in chunks as the guest does, and returns the size of the same sorted table.
fn native_table(path: &Path) -> anyhow::Result<Counted> {
    use std::io::Read as _;
    let began = Instant::now();
    let mut file = std::fs::File::open(path)?;
    let (mut table, mut straddling, mut chunk) = (Table::new(), Vec::new(), vec![0; 256 << 10]);
    loop {
        let read = file.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..read).filter(|b| !b.is_empty()) else { break };
        table.add_chunk(bytes, &mut straddling);
    }
    table.add_last(&mut straddling);
    let total = table.total();
    let sorted = table.into_sorted();
    Ok((began.elapsed().as_secs_f64(), total, sorted.len()))
}

fn native_map(path: &Path) -> anyhow::Result<Counted> {
    let began = Instant::now();
    let text = std::fs::read(path)?;
    let mut counts: HashMap<&[u8], u64> = HashMap::new();
    let mut total = 0;
    for word in text.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty()) {
        *counts.entry(word).or_default() += 1;
        total += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_unstable();
    Ok((began.elapsed().as_secs_f64(), total, sorted.len()))
}

/// Maps one partition after the other on one thread, without a reduce.
async fn bare(module: &Bare, text: &Text) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut from = 0;
    while from < text.len() {
        let wanted = (from + PARTITION).min(text.len());
        let rest = text.get(wanted..).unwrap_or_default();
        let end = wanted + rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
        module.map(Some(text.clone()), from..end).await?;
        from = end;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Returns wall seconds, CPU seconds, guest seconds, and the totals of the result if there is a reduce.
async fn fabric(server: &Server, reduce: bool) -> anyhow::Result<(f64, f64, f64, Option<(u64, usize)>)> {
    let mut spec = serde_json::json!({
        "function": "wordcount", "cache": false,
        "input": { "objects": { "path": "words.txt", "split": format!("lines:{PARTITION}") } },
    });
    if reduce && let Some(fields) = spec.as_object_mut() {
        fields.insert("reduce".to_owned(), serde_json::json!({ "fan-in": 16 }));
    }
    let spec: JobSpec = serde_json::from_value(spec)?;
    let (before, began) = (machine::cpu_us(server.id()), Instant::now());
    let job = server.client.submit(&spec, None).await?;
    let job = server.client.wait_job(job.id.as_str()).await?;
    let (wall, cpu) = (began.elapsed().as_secs_f64(), (machine::cpu_us(server.id()) - before) / 1e6);
    ensure!(job.state == JobState::Succeeded, "{}", job.remark);
    let totals = if reduce {
        let bytes = server.client.result(job.id.as_str()).await?.bytes(1 << 30).await?;
        let result: serde_json::Value = serde_json::from_slice(&bytes)?;
        let words = result.get("words").and_then(|w| w.as_object()).context("no words in the result")?;
        Some((result.get("total").and_then(serde_json::Value::as_u64).unwrap_or(0), words.len()))
    } else {
        None
    };
    Ok((wall, cpu, job.cost.wall_us as f64 / 1e6, totals))
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (mib, rounds) = (arguments.get("mib", 512_u64)?, arguments.get("rounds", 3_usize)?);
    println!("## wordcount\n\n{}\n", machine::line());
    let path = text::file(&arguments.data()?, mib)?;
    let module = arguments.guest("wordcount")?;
    let limited = Bare::new(&bare::settings(), true, &module)?;
    let free = Bare::new(&bare::settings_without_limits(), false, &module)?;
    let text: Text = Arc::new(std::fs::read(&path)?);
    let folder = tempfile::tempdir_in(arguments.data()?)?;
    let server = Server::start(arguments, folder.path()).await?;
    server.deploy(arguments, "wordcount", "").await?;
    server.client.put("words.txt", Upload::file(&path).await?, &UploadOptions::default()).await?;
    let mut columns: [Vec<f64>; 8] = Default::default();
    let mut words = (0, 0);
    for round in 0..rounds {
        let (own, total, different) = native_table(&path)?;
        let (map, same_total, same_different) = native_map(&path)?;
        ensure!((total, different) == (same_total, same_different), "the native counts differ");
        words = (total, different);
        let (map_wall, map_cpu, map_guest, _) = fabric(&server, false).await?;
        let (wall, cpu, _, totals) = fabric(&server, true).await?;
        ensure!(
            totals == Some((total, different)),
            "the fabric counted {totals:?}, not {total} words, {different} different"
        );
        let (with, without) = (bare(&limited, &text).await?, bare(&free, &text).await?);
        eprintln!(
            "round {round}: native {own:.2} / {map:.2}, fabric map {map_wall:.2} (guest {map_guest:.2}), with reduce {wall:.2}, bare {with:.2} / {without:.2}"
        );
        for (column, value) in columns.iter_mut().zip([own, map, map_wall, map_cpu, wall, cpu, with, without]) {
            column.push(value);
        }
    }
    let [own, map, map_wall, map_cpu, wall, cpu, with, without] = columns;
    let base = median(&own);
    let row = |name: &str, wall: &[f64], cpu: Option<&[f64]>| {
        let ratio = |to: f64| short(median(wall) / to);
        vec![
            name.to_owned(),
            spread(wall),
            cpu.map_or_else(|| "as wall".to_owned(), spread),
            ratio(base),
            ratio(median(&map)),
        ]
    };
    let rows = [
        row("native, one thread, the guest's own table", &own, None),
        row("native, one thread, `HashMap<&[u8], u64>`", &map, None),
        row("guest in bare wasmtime, one thread, no reduce", &with, None),
        row("the same without fuel and epochs", &without, None),
        row("fabric, map only", &map_wall, Some(&map_cpu)),
        row("fabric, map and reduce", &wall, Some(&cpu)),
    ];
    println!("{mib} MiB, {} words, {} different, partitions of 8 MiB.\n", words.0, words.1);
    println!("{}", table(&["", "wall s", "CPU s", "× own table", "× HashMap"], &rows));
    println!(
        "Fuel and epochs: × {} in the guest. Target: fabric ≤ 0.8 × native.",
        short(median(&with) / median(&without))
    );
    server.stop();
    Ok(())
}
