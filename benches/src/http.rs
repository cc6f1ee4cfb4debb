//! Requests to `http-hello`, with a fresh instance for each: the fabric against `wasmtime serve` with the same
//! component, and a plain axum handler as the baseline.

use crate::{
    arguments::Arguments,
    figures::{median, short, spread, table},
    machine,
    peer::{Peer, free_port, until_ok},
    server::Server,
};
use anyhow::{Context as _, ensure};
use std::process::Command;

/// The response body of the guest.
pub const HELLO: &str = "Hello from Fabric!\npath: /\nquery: \n";

/// Runs the plain handler. The parent process chooses the port and passes it in `PORT`.
pub async fn axum_hello() -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let router = axum::Router::new().route("/", axum::routing::get(|| async { HELLO }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, router).await?)
}

struct Target {
    name: &'static str,
    url: String,
    pid: u32,
    rates: Vec<f64>,
    cpu: Vec<f64>,
    p99_us: Vec<f64>,
}

/// Parses a duration in the output of wrk, and returns it in µs.
fn duration_us(text: &str) -> f64 {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    number.parse::<f64>().unwrap_or(0.0)
        * match unit {
            "us" => 1.0,
            "ms" => 1e3,
            _ => 1e6,
        }
}

fn measure(target: &mut Target, seconds: u64, connections: u32) -> anyhow::Result<()> {
    let before = machine::cpu_us(target.pid);
    let output = Command::new("wrk")
        .args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s"), &target.url])
        .output()
        .context("running wrk (apt-get install wrk)")?;
    let cpu = machine::cpu_us(target.pid) - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {text}");
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{}: {text}", target.name);
    let requests =
        text.lines().find_map(|l| l.trim().split_once(" requests in")).and_then(|(n, _)| n.parse::<f64>().ok());
    let requests = requests.with_context(|| format!("no request count in {text}"))?;
    let p99 = text.lines().find_map(|l| l.trim().strip_prefix("99%")).map_or(0.0, |t| duration_us(t.trim()));
    target.rates.push(requests / seconds as f64);
    target.cpu.push(cpu / requests);
    target.p99_us.push(p99);
    Ok(())
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (seconds, rounds) = (arguments.get("seconds", 5_u64)?, arguments.get("rounds", 3_usize)?);
    let connections = arguments.get("connections", 32_u32)?;
    println!("## http\n\n{}\n", machine::line());
    let folder = tempfile::tempdir()?;
    let server = Server::start(arguments, folder.path()).await?;
    server.deploy(arguments, "http-hello", "public = true").await?;
    let (axum_port, wasmtime_port) = (free_port()?, free_port()?);
    let axum =
        Peer::start(Command::new(std::env::current_exe()?).arg("axum-hello").env("PORT", axum_port.to_string()))?;
    let wasmtime = Peer::start(
        Command::new(arguments.wasmtime()?)
            .args(["serve", "-Scli", "--addr", &format!("127.0.0.1:{wasmtime_port}")])
            .arg(arguments.guest_path("http-hello")?),
    )?;
    let target = |name, url, pid| Target { name, url, pid, rates: Vec::new(), cpu: Vec::new(), p99_us: Vec::new() };
    let mut targets = [
        target("axum, no guest", format!("http://127.0.0.1:{axum_port}/"), axum.id()),
        target("`wasmtime serve -Scli`", format!("http://127.0.0.1:{wasmtime_port}/"), wasmtime.id()),
        target("fabric", format!("{}/f/default/http-hello/", server.url), server.id()),
    ];
    let http = reqwest::Client::new();
    for target in &mut targets {
        until_ok(&http, &target.url).await?;
        let said = http.get(&target.url).send().await?.text().await?;
        ensure!(said == HELLO, "{} responded with {said:?}", target.name);
        measure(target, 1, connections)?;
        (target.rates, target.cpu, target.p99_us) = (Vec::new(), Vec::new(), Vec::new());
    }
    for _ in 0..rounds {
        for target in &mut targets {
            measure(target, seconds, connections)?;
        }
    }
    let [floor, peer, _] = &targets;
    let (floor, peer) = (median(&floor.rates), (median(&peer.rates), median(&peer.cpu)));
    let rows: Vec<_> = targets
        .iter()
        .map(|t| {
            let rate = median(&t.rates);
            vec![
                t.name.to_owned(),
                spread(&t.rates),
                spread(&t.cpu),
                short(median(&t.p99_us) / 1000.0),
                short(rate / floor),
                short(rate / peer.0),
                short(peer.1 / median(&t.cpu)),
            ]
        })
        .collect();
    println!("wrk, 1 thread, {connections} connections, {seconds} s, a fresh instance for every request.\n");
    let head = [
        "",
        "requests/s",
        "server CPU µs per request",
        "p99 ms",
        "rps ÷ axum",
        "rps ÷ wasmtime serve",
        "wasmtime serve's CPU ÷ its CPU",
    ];
    println!("{}", table(&head, &rows));
    println!("Target: fabric ≥ 2 × `wasmtime serve`.");
    server.stop();
    Ok(())
}
